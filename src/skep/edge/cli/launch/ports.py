"""Finds a port to listen on, and holds it: the socket outlives every restart of the server."""

import errno
import socket
from collections.abc import Iterator

_NEXT = 20


def candidates(port: int, *, fixed: bool) -> Iterator[int]:
    """Yield the ports to try: the wanted one, then, if another will do, the next ones and any free one."""
    yield port
    if not fixed and port != 0:
        yield from range(port + 1, min(port + 1 + _NEXT, 65_536))
        yield 0


def listen(host: str, port: int, *, fixed: bool) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: the address cannot be had, or the fixed port is taken.
    """
    taken: OSError | None = None
    for candidate in candidates(port, fixed=fixed):
        try:
            return _bind(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            taken = taken or error
    assert taken is not None
    raise taken


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except BaseException:
        listening.close()
        raise
    return listening


def reachable(host: str) -> str:
    """Return the host under which a server that listens on *host* is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
