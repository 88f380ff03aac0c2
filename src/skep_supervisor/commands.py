"""The commands of a sandbox: started once per id, followed, ended in time, and remembered."""

import os
import time
from _collections_abc import Callable  # `collections.abc` would import `collections`, which takes longer

from skep_supervisor import privileges, protocol, signals
from skep_supervisor.loop import READ, Loop, Timer
from skep_supervisor.privileges import Identity
from skep_supervisor.program import Program, execute
from skep_supervisor.spool import Spool, read_state

_BLOCK = 1 << 16
#: How long the output of processes that outlive the command itself is waited for.
_DRAIN_S = 0.2
#: How often a kill is repeated until the command is over.
_AGAIN_S = 0.1
_MAX_RUNNING = 64
_OOM_SCORE = b"500"


class CannotStartError(Exception):
    """There is no room for another command."""


class Command:
    """One program that was asked for: starting, running, draining its pipes, over."""

    def __init__(self, commands: "Commands", program: Program, spool: Spool) -> None:
        self.id = program.id
        self.program = program
        self.over = False
        self.starting = True
        #: Called after each change: more output, started, over.
        self.listeners: list[Callable[[], None]] = []
        self._commands = commands
        self._loop = commands.loop
        self._spool = spool
        self._pid = 0
        self._pipes: dict[int, int] = {}
        self._timers: list[Timer] = []
        #: When its time is up; cancelled while it is held.
        self._limit: Timer | None = None
        self._left_s = 0.0
        self._started = time.monotonic()
        self._status: int | None = None
        self._timed_out = False
        self._state: dict[str, object] = {
            "running": True,
            "started_at_ms": time.time_ns() // 1_000_000,
            "duration_s": 0.0,
            "reason": "",
            "code": None,
            "signal": None,
            "truncated": False,
            "message": "",
        }

    @property
    def size(self) -> int:
        """Bytes of its spool that may be read now."""
        return self._spool.size

    @property
    def pid(self) -> int:
        """Its first process, which leads its session and its group."""
        return self._pid

    def state(self) -> dict[str, object]:
        """Return STATE as the protocol has it."""
        if not self.over:
            self._state["duration_s"] = round(time.monotonic() - self._started, 6)
            self._state["truncated"] = self._spool.truncated
        return self._state

    # ---- its life

    def start(self) -> None:
        """Fork; the new process tells through a pipe whether the program could be executed."""
        pipes: list[tuple[int, int]] = []
        try:
            pipes += [os.pipe(), os.pipe(), os.pipe()]
            self._commands.oom_score(_OOM_SCORE)
            self._pid = os.fork()
        except OSError as error:
            self._commands.oom_score(None)
            for fd in (fd for pipe in pipes for fd in pipe):
                os.close(fd)
            self._not_started(f"fork: {error.strerror}")
            return
        out, err, news = pipes
        if self._pid == 0:
            execute(self.program, self._commands.null, out[1], err[1], news[1])
        self._commands.oom_score(None)
        for read_end, write_end in pipes:
            os.close(write_end)
            os.set_blocking(read_end, False)
        for stream, fd in ((protocol.STDOUT, out[0]), (protocol.STDERR, err[0])):
            self._pipes[fd] = stream
            self._loop.watch(fd, READ, self._reader(fd, stream))
        self._loop.watch(news[0], READ, lambda _events: self._heard(news[0]))
        if self.program.timeout_s is not None:
            self._run_for(self.program.timeout_s)

    def signal(self, number: int) -> None:
        """Signal all its processes; TERM is followed by KILL after the grace."""
        if self.over or self._pid == 0:
            return
        if number == signals.SIGKILL:
            self._kill()
            return
        privileges.send_signal(self.program.identity, -self._pid, number)
        if number == signals.SIGTERM:
            self._timers.append(self._loop.after(self.program.grace_s, self._kill))

    def hold(self, *, held: bool) -> None:
        """Let its time limit stand still, or go on with what was left of it."""
        limit = self._limit
        if limit is None or self._timed_out or self._status is not None:
            return
        if held and limit.call is not None:
            self._left_s = max(0.0, limit.at - time.monotonic())
            limit.cancel()
        elif not held and limit.call is None:
            self._timers.remove(limit)
            self._run_for(self._left_s)

    def reaped(self, status: int) -> None:
        """Its first process is dead: what its other processes print is waited for, but not for long."""
        self._status = status
        for timer in self._timers:
            timer.cancel()
        self._timers = [self._loop.after(_DRAIN_S, self._end)]
        self._end_if_drained()

    # ---- what happens to it

    def _heard(self, fd: int) -> None:
        words = os.read(fd, 200)
        self._loop.unwatch(fd)
        os.close(fd)
        self.starting = False
        if words:
            self._state["message"] = words.decode("ascii", "replace")
            self._state["reason"] = "not_started"
        self._changed()
        self._end_if_drained()

    def _reader(self, fd: int, stream: int) -> Callable[[int], None]:
        def read(_events: int) -> None:
            if self._read(fd, stream):
                self._end_if_drained()
            self._changed()

        return read

    def _read(self, fd: int, stream: int) -> bool:
        """Keep what is there; tell whether that was the last."""
        try:
            data = os.read(fd, _BLOCK)
        except BlockingIOError:
            return False
        if data:
            self._spool.append(stream, data)
            return False
        self._close(fd)
        return True

    def _close(self, fd: int) -> None:
        self._loop.unwatch(fd)
        os.close(fd)
        del self._pipes[fd]

    def _run_for(self, seconds: float) -> None:
        self._limit = self._loop.after(seconds, self._time_is_up)
        self._timers.append(self._limit)

    def _time_is_up(self) -> None:
        self._timed_out = True
        self.signal(signals.SIGTERM)

    def _kill(self) -> None:
        self._commands.kill(self)
        # A kill may fail for want of a process to send it; its first process being dead cancels the timer.
        self._timers.append(self._loop.after(_AGAIN_S, self._kill))

    def _end_if_drained(self) -> None:
        if self._status is not None and not self.starting and not self._pipes:
            self._end()

    def _end(self) -> None:
        """Kill what is left of it, keep the last words, and say that it is over."""
        if self.over or self._status is None:
            return
        for timer in self._timers:
            timer.cancel()
        self._commands.kill(self)
        for fd, stream in list(self._pipes.items()):
            # A pipe holds 64 KiB; whoever still writes gets no second round.
            if not self._read(fd, stream):
                self._close(fd)
        if self._state["reason"] != "not_started":
            self._tell_exit(self._status)
        self._finish()

    def _tell_exit(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        self._state["code"] = code if code >= 0 else None
        self._state["signal"] = -code if code < 0 else None
        self._state["reason"] = "timed_out" if self._timed_out else "exited" if code >= 0 else "signaled"

    def _not_started(self, message: str) -> None:
        self.starting = False
        self._state["reason"] = "not_started"
        self._state["message"] = message
        self._finish()

    def _finish(self) -> None:
        self._spool.finish()
        self._state["running"] = False
        self.state()
        self.over = True
        try:
            self._spool.keep_state(self._state)
        finally:
            self._commands.ended(self)
            self._changed()

    def _changed(self) -> None:
        for listener in list(self.listeners):
            listener()


class Commands:
    """All commands by their ids; those long over are looked up on disk."""

    def __init__(self, loop: Loop, folder: str, limit: int, null: int, oom: int | None) -> None:
        self.loop = loop
        self.null = null
        self._folder = folder
        self._limit = limit
        self._oom = oom
        self._own_oom_score = os.read(oom, 16).strip() if oom is not None else b""
        self._known: dict[str, Command] = {}
        self._running: dict[int, Command] = {}

    @property
    def idle(self) -> bool:
        """Tell whether no command runs."""
        return not self._running

    def start(self, program: Program) -> Command | dict[str, object]:
        """Start a program, or return what became of the one with this id.

        Raises:
            CannotStartError: too many run already, or there is no space for its log.
        """
        found = self.find(program.id)
        if found is not None:
            return found
        if len(self._running) >= _MAX_RUNNING:
            raise CannotStartError("too many commands run at once")
        try:
            spool = Spool(self._folder, program.id, self._limit)
        except OSError as error:
            raise CannotStartError(f"its log cannot be kept: {error.strerror or error}") from error
        command = Command(self, program, spool)
        self._remember(command)
        command.start()
        if not command.over:
            self._running[command.pid] = command
        return command

    def find(self, command_id: str) -> Command | dict[str, object] | None:
        """Return the command, or the final state of one that is only on disk."""
        return self._known.get(command_id) or read_state(self._folder, command_id)

    def states(self) -> dict[str, object]:
        """Return the states of the newest commands."""
        return {command.id: command.state() for command in self._known.values()}

    def reaped(self, pid: int, status: int) -> None:
        """Take note of a dead child, if it was a command's first process."""
        command = self._running.get(pid)
        if command is not None:
            command.reaped(status)

    def ended(self, command: Command) -> None:
        """Forget that it runs."""
        self._running.pop(command.pid, None)

    def kill(self, command: Command) -> None:
        """Kill all of a command: everything of its user if nothing else of that user runs, else its group.

        Only the first reaches a process that has left the group.
        """
        identity = command.program.identity
        others = (other for other in self._running.values() if other is not command)
        alone = not any(other.program.identity.uid == identity.uid for other in others)
        target = -1 if alone and identity.uid is not None and os.getpid() == 1 else -command.pid
        if privileges.exists(target):
            privileges.send_signal(identity, target, signals.SIGKILL)

    def kill_all(self, identities: tuple[Identity, ...]) -> None:
        """Kill every process of these users, and so every command."""
        if os.getpid() == 1:
            for identity in identities:
                if identity.uid is not None:
                    privileges.send_signal(identity, -1, signals.SIGKILL)
        for command in list(self._running.values()):
            command.signal(signals.SIGKILL)

    def oom_score(self, score: bytes | None) -> None:
        """Set what a process that is forked now inherits; None sets the supervisor's own again."""
        if self._oom is not None:
            os.pwrite(self._oom, score or self._own_oom_score, 0)

    def _remember(self, command: Command) -> None:
        self._known[command.id] = command
        if len(self._known) > protocol.MAX_COMMANDS:
            oldest = next((known for known in self._known.values() if known.over), None)
            if oldest is not None:
                del self._known[oldest.id]
