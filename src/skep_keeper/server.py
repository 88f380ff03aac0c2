"""The keeper's door: a SEQPACKET socket, one request and its answer at a time per connection.

A request is one packet of JSON. An answer is one packet `{"ok": {...}}`, with a descriptor where the operation gives
one; or several `{"items": [...], "more": true|false}`; or `{"error": CODE, "message": TEXT}`.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, Final

from skep_keeper import log
from skep_keeper.errors import KeeperError
from skep_keeper.operations import Answer, Operations
from skep_keeper.vocabulary import MAX_REQUEST, parse

_BACKLOG: Final = 128
_MAX_CONNECTIONS: Final = 256
_ITEMS_BYTES: Final = 48 * 1024
_CREDENTIALS: Final = struct.Struct("3i")
#: How long requests that are under way may take after SIGTERM.
_PATIENCE_S: Final = 10.0
#: Pause after a connection that could not be accepted: descriptors may have run out.
_BREATH_S: Final = 0.01


def bind(path: str, uid: int, gid: int) -> socket.socket:
    """Listen at *path*, which only *uid* and root can connect to."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    previous = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(previous)
    os.chown(path, uid, gid)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


class Server:
    """Serves one socket until it is told to stop; a thread per connection."""

    def __init__(self, operations: Operations, listener: socket.socket, uid: int) -> None:
        self._operations = operations
        self._listener = listener
        self._allowed = {0, uid}
        self._guard = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._busy = 0
        self._idle = threading.Condition(self._guard)

    def serve(self) -> None:
        """Accept connections until SIGTERM or SIGINT; then finish what is under way. Sandboxes are left alone."""
        stop, wake = socket.socketpair()
        stop.setblocking(False)
        wake.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignore)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(stop, selectors.EVENT_READ)
            while not any(key.fileobj is stop for key, _ in selector.select()):
                self._accept()
        self._listener.close()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, timeout=_PATIENCE_S)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            log.warning("connection not accepted", reason=str(error))
            time.sleep(_BREATH_S)
            return
        connection.setblocking(True)
        _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        with self._guard:
            full = len(self._connections) >= _MAX_CONNECTIONS
            if uid in self._allowed and not full:
                self._connections.add(connection)
        if uid not in self._allowed or full:
            log.warning("connection refused", uid=uid, reason="too many" if full else "not the server's user")
            connection.close()
            return
        threading.Thread(target=self._converse, args=(connection,), name="connection", daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        try:
            while self._turn(connection):
                pass
        except OSError as error:
            log.info("connection lost", reason=str(error))
        finally:
            with self._guard:
                self._connections.discard(connection)
            connection.close()

    def _turn(self, connection: socket.socket) -> bool:
        """Answer one request; False when the other side has gone."""
        # One byte more than allowed, so that a packet that is too long is seen to be.
        packet, ancillary, _, _ = connection.recvmsg(MAX_REQUEST + 1, socket.CMSG_SPACE(64 * 4))
        _close_received(ancillary)
        if not packet:
            return False
        with self._working():
            answer = self._answer(packet)
            if isinstance(answer, dict):
                connection.sendall(_encode(answer))
            else:
                _send(connection, answer)
        return True

    def _answer(self, packet: bytes) -> Answer | dict[str, Any]:
        try:
            return self._operations.answer(parse(packet))
        except KeeperError as error:
            return {"error": error.code, "message": error.message}
        except Exception as error:  # noqa: BLE001  one request must not end the keeper
            log.error("request failed", reason=f"{type(error).__name__}: {error}")
            return {"error": "internal", "message": f"{type(error).__name__}: {error}"[:1000]}

    @contextlib.contextmanager
    def _working(self) -> Generator[None]:
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()


def _send(connection: socket.socket, answer: Answer) -> None:
    if answer.items is not None:
        for items, more in _pages(answer.items):
            connection.sendall(_encode({"items": items, "more": more}))
    elif answer.descriptor is not None:
        try:
            socket.send_fds(connection, [_encode({"ok": answer.values})], [answer.descriptor])
        finally:
            os.close(answer.descriptor)
    else:
        connection.sendall(_encode({"ok": answer.values}))


def _pages(items: list[Any]) -> Iterator[tuple[list[Any], bool]]:
    """Cut a listing into packets; an empty listing is one empty packet."""
    page: list[Any] = []
    size = 0
    for item in items:
        length = len(_encode(item))
        if page and size + length > _ITEMS_BYTES:
            yield page, True
            page, size = [], 0
        page.append(item)
        size += length
    yield page, False


def _ignore(number: int, frame: object) -> None:
    """Let the signal arrive; the wake-up descriptor tells the loop."""


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _close_received(ancillary: list[tuple[int, int, bytes]]) -> None:
    """Close descriptors that somebody sent along: no request has any."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            for (descriptor,) in struct.iter_unpack("i", data[: len(data) // 4 * 4]):
                os.close(descriptor)
