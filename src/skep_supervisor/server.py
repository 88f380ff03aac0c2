"""The supervisor's connections: requests in, answers out, each connection doing one thing at a time.

Memory is bounded: a connection holds at most one request and a little more than one frame of an answer.
"""

import _socket
import os
import time
from _collections_abc import Callable  # `collections.abc` would import `collections`, which takes longer

from skep_supervisor import files, privileges, protocol, requests, wire
from skep_supervisor.commands import CannotStartError, Command, Commands
from skep_supervisor.loop import HANG_UP, READ, WRITE, Loop
from skep_supervisor.privileges import Identity
from skep_supervisor.requests import BadRequestError
from skep_supervisor.spool import output_path

_BLOCK = 1 << 16
_SLICE = 1 << 17
_MAX_CONNECTIONS = 32
#: How long `killall` waits until all processes are really gone, and how often it looks.
_KILL_PATIENCE_S = 2.0
_KILL_LOOK_S = 0.005


def _accept(listener: _socket.socket) -> int:
    """Accept as `socket.accept` does; that module takes 4 ms to import."""
    fd, _ = listener._accept()  # pyright: ignore  # noqa: PGH003, SLF001  the stub does not know it
    return fd  # pyright: ignore[reportUnknownVariableType]


class Connection:
    """One caller's stream."""

    def __init__(self, server: "Server", fd: int) -> None:
        self.fd = fd
        self.received = wire.FrameBuffer()
        #: Queues more of a long answer; True: there is still more.
        self.pump: Callable[[], bool] | None = None
        #: Called once when the answer ends, or the connection does.
        self.release: Callable[[], None] | None = None
        self._server = server
        self._out = bytearray()
        self._more = False
        self._busy = False
        self._lent = False
        #: What to answer when a refused `put` has said everything: the caller does not listen before.
        self._refusal: tuple[str, str] | None = None
        self._watch()

    def send(self, header: dict[str, object], payload: bytes = b"") -> None:
        """Queue one frame of the answer."""
        self._out += wire.encode(header, payload)

    def answer(self, header: dict[str, object] | None = None) -> None:
        """Queue the answer's last frame, and be ready for the next request."""
        self.send({"end": True, **(header or {})})
        self._busy = False
        self._let_go()

    def refuse(self, code: str, message: str) -> None:
        """Answer with an error."""
        self.answer({"error": code, "message": message})

    def refuse_put(self, code: str, message: str) -> None:
        """Answer with an error as soon as the caller has sent all of the file."""
        self._busy = False
        self._refusal = (code, message)

    def lend(self) -> None:
        """Leave the stream to a child until `give_back`."""
        self._lent = True
        self._server.loop.unwatch(self.fd)

    def give_back(self, *, whole: bool) -> None:
        """Take the stream back from a child that answered the whole request, or close it."""
        if not whole:
            self._server.close(self)
            return
        os.set_blocking(self.fd, False)
        self.received = wire.FrameBuffer()
        self._busy = self._lent = False
        self._watch()

    def proceed(self) -> None:
        """Send what can be sent, and take the next request when the answer is out."""
        try:
            self._flush()
            while not self._busy and not self._out:
                frame = self.received.take()
                if frame is None:
                    break
                self._take(frame[0])
                if self._lent:
                    return
                self._flush()
        except (OSError, wire.ProtocolError):
            self._server.close(self)
        else:
            self._watch()

    def _take(self, header: dict[str, object]) -> None:
        if self._refusal is None:
            self._busy = True
            self._server.handle(self, header)
        elif header.get("more") is not True:
            refusal, self._refusal = self._refusal, None
            self.refuse(*refusal)

    def close(self) -> None:
        """Drop the stream; only the server calls this."""
        self._let_go()
        self._server.loop.unwatch(self.fd)
        os.close(self.fd)

    def _let_go(self) -> None:
        self.pump = None
        if self.release is not None:
            release, self.release = self.release, None
            release()

    def _watch(self) -> None:
        events = WRITE if self._out or self._more else HANG_UP if self._busy else READ
        self._server.loop.watch(self.fd, events, self._ready)

    def _ready(self, events: int) -> None:
        if events & READ:
            try:
                data = os.read(self.fd, _BLOCK)
            except OSError:
                data = b""
            if data:
                self.received.feed(data)
                self.proceed()
                return
        if events & WRITE:
            self.proceed()
        else:
            self._server.close(self)

    def _flush(self) -> None:
        """Queue a part of a long answer and write once, so that nobody else waits for this connection."""
        full = len(self._out) >= _SLICE
        self._more = self.pump is not None and (full or self.pump())
        if self._out:
            try:  # noqa: SIM105  `contextlib` is not loaded
                del self._out[: os.write(self.fd, self._out)]
            except BlockingIOError:
                pass


class Server:
    """Accepts connections and does what they ask."""

    def __init__(
        self, loop: Loop, listener: int, commands: Commands, identities: dict[str, Identity], sandbox: str, folder: str
    ) -> None:
        self.loop = loop
        self._listener = _socket.socket(fileno=listener)
        self._commands = commands
        self._identities = identities
        self._sandbox = sandbox
        self._folder = folder
        self._connections: set[Connection] = set()
        self._children: dict[int, Connection] = {}
        self._verbs: dict[str, Callable[[Connection, dict[str, object]], None]] = {
            "hello": self._hello,
            "exec": self._exec,
            "output": self._output,
            "wait": self._wait,
            "signal": self._signal,
            "hold": self._hold,
            "killall": self._kill_all,
            "put": self._files,
            "get": self._files,
            "list": self._files,
        }
        os.set_blocking(listener, False)
        self._watch_listener()

    def handle(self, connection: Connection, request: dict[str, object]) -> None:
        """Do what a request asks; a long answer goes on later."""
        verb = self._verbs.get(str(request.get("op")))
        if verb is None:
            connection.refuse("bad_request", "op is missing or wrong")
            return
        try:
            verb(connection, request)
        except BadRequestError as error:
            connection.refuse("bad_request", f"{error} is missing or wrong")

    def close(self, connection: Connection) -> None:
        """Drop a connection."""
        if connection in self._connections:
            self._connections.remove(connection)
            connection.close()
            self._watch_listener()

    def reap(self) -> None:
        """Collect all dead children: commands, their orphans, and those that moved files."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            connection = self._children.pop(pid, None)
            if connection is not None:
                connection.give_back(whole=status == 0)
            else:
                self._commands.reaped(pid, status)

    def _watch_listener(self) -> None:
        if len(self._connections) < _MAX_CONNECTIONS:
            self.loop.watch(self._listener.fileno(), READ, self._accept)
        else:
            self.loop.unwatch(self._listener.fileno())

    def _accept(self, _events: int) -> None:
        try:
            fd = _accept(self._listener)
        except OSError:
            return
        os.set_blocking(fd, False)
        self._connections.add(Connection(self, fd))
        self._watch_listener()

    # ---- requests

    def _hello(self, connection: Connection, _request: dict[str, object]) -> None:
        connection.answer({"version": protocol.VERSION, "sandbox": self._sandbox, "commands": self._commands.states()})

    def _exec(self, connection: Connection, request: dict[str, object]) -> None:
        try:
            found = self._commands.start(requests.program(request, self._identities))
        except CannotStartError as error:
            connection.refuse("no_space", str(error))
            return
        self._when(connection, found, lambda command: not command.starting)

    def _wait(self, connection: Connection, request: dict[str, object]) -> None:
        found = self._commands.find(requests.command_id(request))
        if found is None:
            connection.refuse("not_found", "there is no such command")
            return
        self._when(connection, found, lambda command: command.over)

    def _when(
        self, connection: Connection, found: Command | dict[str, object], ready: Callable[[Command], bool]
    ) -> None:
        """Answer with the command's state as soon as it is *ready*."""
        if isinstance(found, dict):
            connection.answer({"state": found})
            return

        def pump() -> bool:
            if ready(found):
                connection.answer({"state": found.state()})
            return False

        self._follow(connection, found, pump)

    def _output(self, connection: Connection, request: dict[str, object]) -> None:
        command_id, position = requests.command_id(request), requests.offset(request)
        found = self._commands.find(command_id)
        try:
            fd = -1 if found is None else os.open(output_path(self._folder, command_id), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            fd = -1
        if found is None or fd < 0:
            connection.refuse("not_found", "there is no such command")
            return

        def pump() -> bool:
            nonlocal position
            end = found.size if isinstance(found, Command) else os.fstat(fd).st_size
            data = os.pread(fd, min(_SLICE, end - position), position) if position < end else b""
            if data:
                start, position = position, position + len(data)
                connection.send({"offset": start, "next": position}, data)
                return True
            if not isinstance(found, Command):
                connection.answer({"state": found})
            elif found.over:
                connection.answer({"state": found.state()})
            return False

        self._follow(connection, found, pump, fd)

    def _follow(
        self, connection: Connection, found: Command | dict[str, object], pump: Callable[[], bool], fd: int = -1
    ) -> None:
        """Let *pump* answer whenever the command has changed or the caller has read."""

        def release() -> None:
            if isinstance(found, Command):
                found.listeners.remove(connection.proceed)
            if fd >= 0:
                os.close(fd)

        if isinstance(found, Command):
            found.listeners.append(connection.proceed)
        connection.pump, connection.release = pump, release

    def _signal(self, connection: Connection, request: dict[str, object]) -> None:
        found = self._commands.find(requests.command_id(request))
        number = requests.signal_number(request)
        if found is None:
            connection.refuse("not_found", "there is no such command")
            return
        if isinstance(found, Command):
            found.signal(number)
        connection.answer()

    def _hold(self, connection: Connection, request: dict[str, object]) -> None:
        found = self._commands.find(requests.command_id(request))
        held = requests.held(request)
        if found is None:
            connection.refuse("not_found", "there is no such command")
            return
        if isinstance(found, Command):
            found.hold(held=held)
        connection.answer()

    def _kill_all(self, connection: Connection, _request: dict[str, object]) -> None:
        """Answer when all processes are gone, or it has been tried for long enough."""
        last = time.monotonic() + _KILL_PATIENCE_S
        self._commands.kill_all(tuple(self._identities.values()))

        def look() -> None:
            nonlocal timer
            gone = self._commands.idle and (os.getpid() != 1 or bool(self._children) or not privileges.exists(-1))
            if gone or time.monotonic() > last:
                connection.answer()
                connection.proceed()
            else:
                timer = self.loop.after(_KILL_LOOK_S, look)

        timer = self.loop.after(0, look)
        connection.release = lambda: timer.cancel()  # noqa: PLW0108  the newest timer

    def _files(self, connection: Connection, request: dict[str, object]) -> None:
        refuse = connection.refuse_put if request.get("op") == "put" else connection.refuse
        try:
            requests.check_file_request(request)
            child = files.serve(self._identities["agent"], request, connection.fd, connection.received)
        except BadRequestError as error:
            refuse("bad_request", f"{error} is missing or wrong")
            return
        except OSError as error:
            refuse("internal", f"fork: {error.strerror}")
            return
        connection.lend()
        self._children[child] = connection
