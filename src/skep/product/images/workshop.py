"""A build's sandbox as its builder sees it: run a command, watch it into the log, learn how it ended."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from skep.kernel.clock import Clock, to_ms
from skep.kernel.ids import IdSource
from skep.product.blobs.model import LogId
from skep.product.blobs.ports import LogStore
from skep.product.gateway.egress import EgressProxy
from skep.product.gateway.model import Policy, Refusal
from skep.product.gateway.ports import Resolver, Site
from skep.product.images import refusals
from skep.product.images.environment import DOOR_PORT
from skep.product.images.seen import Seen
from skep.product.sandboxes.model import Command, CommandId, Exit, ExitReason, Handle, Stream
from skep.product.sandboxes.ports import Based, Doors, Driver, Files, Leftovers, Output, Sealing

_KEPT = 16 * 1024
#: Lines about hosts that were not reached, in one build's log.
_TOLD = 100


class BuildDriver(Driver, Output, Files, Doors, Sealing, Leftovers, Based, Protocol):
    """A driver with all that a build needs."""

    name: str


class AttemptLostError(Exception):
    """The sandbox or its driver went away; another attempt may do better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended, and what it said: the first bytes of its output, the last of it, and of its complaints."""

    exit: Exit
    stdout: str
    stdout_end: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Tell whether it ended by itself, well."""
        return self.exit.reason is ExitReason.EXITED and self.exit.code == 0


class BuildLog:
    """The log of one build: what its commands print, and what Skep says between them."""

    def __init__(self, logs: LogStore, log_id: LogId, clock: Clock, hidden: tuple[str, ...]) -> None:
        self._logs = logs
        self._id = log_id
        self._clock = clock
        self._hidden = tuple(text.encode() for text in hidden)
        self._held: dict[str, bytes] = {}

    def hide(self, texts: Iterable[str]) -> None:
        """Keep *texts* out of the log, too, from now on."""
        self._hidden = (*self._hidden, *(text.encode() for text in texts if text))

    def clean(self, text: str) -> str:
        """Return *text* without what must not be seen."""
        return self._clean(text.encode()).decode()

    async def say(self, text: str) -> None:
        """Write a line of Skep's own."""
        await self._append(Stream.SYSTEM, self._clean(f"{text}\n".encode()))

    async def write(self, stream: Stream, data: bytes) -> None:
        """Write a command's output, without what must not be seen, also where it comes in two pieces."""
        data = self._clean(self._held.pop(stream, b"") + data)
        keep = max((_overlap(data, hidden) for hidden in self._hidden), default=0)
        if keep:
            self._held[stream] = data[-keep:]
        await self._append(stream, data[: len(data) - keep])

    async def flush(self) -> None:
        """Write what was held back because it looked like the beginning of something hidden."""
        for stream, data in list(self._held.items()):
            del self._held[stream]
            await self._append(Stream(stream), data)

    def _clean(self, data: bytes) -> bytes:
        for hidden in self._hidden:
            data = data.replace(hidden, b"********")
        return data

    async def _append(self, stream: Stream, data: bytes) -> None:
        if data:
            await self._logs.append(self._id, stream.value, to_ms(self._clock.now()), data, 0)


class Workshop:
    """One sandbox, made for one attempt of a build."""

    def __init__(self, driver: BuildDriver, handle: Handle, log: BuildLog, ids: IdSource, clock: Clock) -> None:
        self.driver = driver
        self.handle = handle
        self.log = log
        self._ids = ids
        self._clock = clock
        self._proxy: EgressProxy | None = None
        self._seen = Seen()
        self._told: set[str] = set()
        self._advice = ""
        self._advised = False

    @asynccontextmanager
    async def door(self, resolver: Resolver) -> AsyncGenerator[None]:
        """Hold the sandbox's door open; until `open_to` it leads nowhere."""
        listener = await self.driver.listen(self.handle, DOOR_PORT)
        self._proxy = EgressProxy(Policy(), resolver, self._seen.note, self._clock)
        async with self._proxy.serving(listener):
            yield

    def open_to(
        self, policy: Policy, *, bytes_down: int | None = None, sites: Mapping[str, Site] | None = None
    ) -> None:
        """Let the door lead where *policy* says, for at most *bytes_down* bytes in, and answer for *sites* itself."""
        assert self._proxy is not None, "the door is opened first"
        self._seen.clear()
        self._advice = policy.advice
        self._advised = False
        self._proxy.renew(policy, bytes_down=bytes_down, sites=sites)

    @property
    def over_limit(self) -> bool:
        """Tell whether the door's byte limit was passed since it was opened last."""
        return self._seen.over_limit

    @property
    def refusal(self) -> str:
        """Say what the door refused since it was opened last, and what to do about it; "" if nothing."""
        return refusals.hint(tuple(self._seen), self._advice)

    async def run(
        self,
        argv: tuple[str, ...],
        *,
        env: Mapping[str, str],
        timeout_s: float,
        cwd: str = "/app",
        shown: bool = True,
    ) -> Ran:
        """Run a command to its end.

        Args:
            argv: the command.
            env: its whole environment.
            timeout_s: its time limit, kept also while nobody watches.
            cwd: its folder.
            shown: whether its standard output goes to the log.

        Raises:
            AttemptLostError: nobody can know how it ended.
        """
        command = Command(
            id=CommandId(self._ids.new("cmd", to_ms(self._clock.now()))),
            argv=argv,
            env=env,
            cwd=cwd,
            timeout_s=max(0.1, timeout_s),
        )
        await self.driver.exec(self.handle, command)
        stdout, end, stderr = bytearray(), bytearray(), bytearray()
        async for chunk in self.driver.output(self.handle, command.id):
            if chunk.stream is Stream.STDOUT:
                stdout += chunk.data[: _KEPT - len(stdout)]
                end += chunk.data
                del end[:-_KEPT]
            else:
                stderr += chunk.data
                del stderr[:-_KEPT]
            if shown or chunk.stream is not Stream.STDOUT:
                await self.log.write(chunk.stream, chunk.data)
        await self.log.flush()
        await self._tell_refusals()
        exit_ = await self.driver.wait(self.handle, command.id)
        if exit_.reason is ExitReason.LOST:
            raise AttemptLostError(exit_.message or "the sandbox is gone")
        if exit_.reason is ExitReason.NOT_STARTED:
            stderr += f"{argv[0]}: {exit_.message}".encode()
        said, last, complaints = (one.decode("utf-8", "replace") for one in (stdout, end, stderr))
        return Ran(exit=exit_, stdout=said, stdout_end=last, stderr=complaints)

    async def _tell_refusals(self) -> None:
        for record in tuple(self._seen):
            line = refusals.line(record)
            if line is None or line in self._told or len(self._told) >= _TOLD:
                continue
            self._told.add(line)
            await self.log.say(line)
            if record.refusal is Refusal.UNLISTED and not self._advised:
                self._advised = True
                await self.log.say(self._advice)
        if self._seen.left_out:
            await self.log.say(f"{self._seen.left_out} more connections were not made.")
            self._seen.left_out = 0


def _overlap(data: bytes, hidden: bytes) -> int:
    """Return how many of the last bytes of *data* are the beginning of *hidden*."""
    return next((size for size in range(min(len(data), len(hidden) - 1), 0, -1) if data.endswith(hidden[:size])), 0)
