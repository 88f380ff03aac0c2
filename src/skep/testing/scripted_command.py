"""A command of `ScriptedDriver`: its output, its time and its end, without a process."""

import asyncio
from collections.abc import AsyncIterator
from signal import SIGKILL, SIGTERM

from skep.kernel.clock import to_ms
from skep.product.sandboxes.model import Command, Exit, ExitReason, OutputChunk, Stream
from skep.testing.behaviour import FOREVER, Behaviour
from skep.testing.clock import ManualClock

_BLOCK = 1 << 14
#: What a chunk counts beside its bytes: offsets are no byte counts, and nobody may take them for such.
_HEAD = 13


class ScriptedCommand:
    """What became of one `exec`."""

    def __init__(self, command: Command, behaviour: Behaviour, clock: ManualClock, output_bytes: int) -> None:
        self.command = command
        self.behaviour = behaviour
        self.exit: Exit | None = None
        self._clock = clock
        self._limit = output_bytes
        self._started = clock.monotonic()
        self._chunks: list[OutputChunk] = []
        self._changed = asyncio.Event()
        self._truncated = False
        self._timed_out = False
        #: Since when its time limit stands still, and for how long it has done so before.
        self._held_at: float | None = None
        self._held_s = 0.0
        self._kill_at: float | None = None
        self._lost = False
        if behaviour.start_error:
            self.end(Exit(reason=ExitReason.NOT_STARTED, message=behaviour.start_error))

    def start(self, shown: bytes) -> None:
        """Print everything at once, then end or go on as the script says."""
        told = "".join(f"{name}={self.command.env.get(name, '')}\n" for name in self.behaviour.show_env)
        stdout = self.behaviour.stdout.encode() * self.behaviour.repeat + shown + told.encode()
        self._print(Stream.STDOUT, stdout)
        self._print(Stream.STDERR, self.behaviour.stderr.encode())
        self.time_passes()

    def time_passes(self) -> None:
        """End the command if its time has come."""
        if self.exit is not None or self._lost:
            return
        now = self._clock.monotonic()
        limit = self.command.timeout_s
        passed = round(now - self._started, 6)
        if passed >= self.behaviour.run_for_s and self.behaviour.run_for_s < FOREVER:
            self._end_as_scripted()
        elif (
            limit is not None
            and self._held_at is None
            and round(passed - self._held_s, 6) >= limit
            and not self._timed_out
        ):
            self._timed_out = True
            self.signal(SIGTERM)
        if self.exit is None and self._kill_at is not None and round(now - self._kill_at, 6) >= 0:
            self.signal(SIGKILL)

    def signal(self, number: int) -> None:
        """Let a signal do what it does."""
        if self.exit is not None or self._lost:
            return
        if number == SIGTERM and self.behaviour.ignore_term:
            self._kill_at = self._clock.monotonic() + self.command.grace_s
        else:
            reason = ExitReason.TIMED_OUT if self._timed_out else ExitReason.SIGNALED
            self.end(Exit(reason=reason, signal=number))

    def hold(self, *, held: bool) -> None:
        """Let its time limit stand still, or go on with what was left."""
        now = self._clock.monotonic()
        if held and self._held_at is None:
            self._held_at = now
        elif not held and self._held_at is not None:
            self._held_s = round(self._held_s + now - self._held_at, 6)
            self._held_at = None

    @property
    def held(self) -> bool:
        """Tell whether its time limit stands still."""
        return self._held_at is not None

    def end(self, how: Exit) -> None:
        """Be over."""
        if self.exit is None and not self._lost:
            self.exit = Exit(
                reason=how.reason,
                code=how.code,
                signal=how.signal,
                duration_s=round(self._clock.monotonic() - self._started, 6),
                truncated=self._truncated,
                message=how.message,
            )
            self._wake()

    def lose(self) -> None:
        """Be gone without anybody knowing how, unless that is known already."""
        self._lost = True
        self._wake()

    async def wait(self) -> Exit:
        """Return how it ended, once it has."""
        while self.exit is None:
            if self._lost:
                return Exit(reason=ExitReason.LOST, message="the sandbox is gone")
            await self._changed.wait()
        return self.exit

    async def follow(self, offset: int) -> AsyncIterator[OutputChunk]:
        """Yield the chunks from *offset* on until it is over."""
        position = 0
        while True:
            while position < len(self._chunks):
                chunk = self._chunks[position]
                position += 1
                if chunk.next_offset > offset:
                    yield chunk
            if self.exit is not None or self._lost:
                return
            await self._changed.wait()

    def _end_as_scripted(self) -> None:
        script = self.behaviour
        if script.oom:
            self.end(Exit(reason=ExitReason.OUT_OF_MEMORY, signal=SIGKILL))
        elif script.exit_signal is not None:
            self.end(Exit(reason=ExitReason.SIGNALED, signal=script.exit_signal))
        else:
            self.end(Exit(reason=ExitReason.EXITED, code=script.exit_code))

    def _print(self, stream: Stream, data: bytes) -> None:
        if len(data) <= self._limit:
            self._append(stream, data)
            return
        head = self._limit // 2
        tail = self._limit - head
        self._truncated = True
        self._append(stream, data[:head])
        self._append(Stream.SYSTEM, f"{len(data) - self._limit} bytes of output were left out here".encode())
        self._append(stream, data[-tail:])

    def _append(self, stream: Stream, data: bytes) -> None:
        for start in range(0, len(data), _BLOCK):
            piece = data[start : start + _BLOCK]
            end = (self._chunks[-1].next_offset if self._chunks else 0) + _HEAD + len(piece)
            at_ms = to_ms(self._clock.now())
            self._chunks.append(OutputChunk(stream=stream, at_ms=at_ms, data=piece, next_offset=end))

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
