"""The door of an attempt: HTTP on the sandbox's own loopback, answered by the server that executes it.

One request a connection, parsed strictly, bounded in everything; whatever comes is untrusted.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from http import HTTPStatus
from typing import Any, Protocol

from skep.kernel.errors import (
    ConflictError,
    FencedError,
    ForbiddenError,
    InvalidError,
    LimitError,
    NotFoundError,
    SkepError,
    TooLargeError,
    UnavailableError,
)
from skep.product.gateway import head as heads
from skep.product.gateway.connections import Connections
from skep.product.gateway.pace import Pace
from skep.product.gateway.relay import Pair

log = logging.getLogger(__name__)

PORT = 80
URL = "http://127.0.0.1"

_MAX_CONNECTIONS = 64
#: Requests that are answered as fast as they come; then one after each pause.
_BURST = 200
_PAUSE_S = 0.1
#: For the whole request to arrive, and for an answer to be taken.
_PATIENCE_S = 15.0
_HOSTS = (b"127.0.0.1", b"localhost")
_STATUS: tuple[tuple[type[SkepError], int], ...] = (
    (heads.BadHeadError, 400),
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (TooLargeError, 413),
    (InvalidError, 422),
    # Who hears this asks again: another server may have taken over.
    (FencedError, 503),
    (LimitError, 503),
    (UnavailableError, 503),
)


class Desk(Protocol):
    """What is behind a door."""

    #: The largest body that it takes, bytes.
    max_body: int

    async def post(self, path: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """Return status and JSON of the answer; may take days, and is cancelled when nobody waits for it any more.

        Raises:
            SkepError: it is refused.
        """
        ...


_TOO_MANY = {"code": "too_many_connections", "message": f"More than {_MAX_CONNECTIONS} connections at once."}


class Door:
    """Serves one sandbox's listener."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._connections = Connections(self._serve)
        self._pace = Pace(_BURST, _PAUSE_S)

    def serving(self, listener: socket.socket) -> AbstractAsyncContextManager[None]:
        """Serve *listener* until the block is left; then every connection is cut."""
        return self._connections.serving(listener)

    async def _serve(self, client: Pair) -> None:
        if len(self._connections) > _MAX_CONNECTIONS:
            # Not heard, and not waited for: thousands of these would use up the descriptors of the whole server.
            client[1].write(_answer(503, _TOO_MANY))
            return
        try:
            path, body = await self._request(client[0])
            answer = await self._answer(client[0], path, body)
        except SkepError as error:
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
            answer = status, _problem(error)
        except TimeoutError:
            answer = 408, {"code": "too_slow", "message": "The request did not arrive in time."}
        except (OSError, EOFError):
            raise
        except Exception:
            log.exception("a request at a run's door failed")
            answer = 500, {"code": "internal", "message": "Skep failed at this; its log says more."}
        if answer is not None:
            await _give(client, *answer)

    async def _request(self, reader: asyncio.StreamReader) -> tuple[str, bytes]:
        await self._pace.wait()
        async with asyncio.timeout(_PATIENCE_S):
            try:
                head = heads.parse_request(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.LimitOverrunError as error:
                raise TooLargeError("The request's head is too long.") from error
            if head.get(b"origin") is not None or head.get(b"host") not in _HOSTS:
                raise ForbiddenError("No web page may use this door.", hint=f"Call it as {URL}.")
            if head.method != b"POST":
                raise InvalidError("This door takes POST only.", code="method_not_allowed")
            length = heads.request_framing(head).length
            if length is None:
                raise heads.BadHeadError("The body needs a Content-Length.")
            if length > self._desk.max_body:
                raise TooLargeError(f"The body is larger than {self._desk.max_body} bytes.")
            return head.target.decode("ascii"), await reader.readexactly(length)

    async def _answer(
        self, reader: asyncio.StreamReader, path: str, body: bytes
    ) -> tuple[int, Mapping[str, Any]] | None:
        """Return what the desk says, or None when the client went before it said anything."""
        answering = asyncio.create_task(self._desk.post(path, body))
        # Nothing may follow the request: a byte, or the end, says that nobody waits any more.
        leaving = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return answering.result() if answering.done() else None
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)


def _problem(error: SkepError) -> dict[str, Any]:
    said: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.hint:
        said["hint"] = error.hint
    if error.fields:
        said["fields"] = error.fields
    return said


def _answer(status: int, content: Mapping[str, Any]) -> bytes:
    body = json.dumps(content).encode("ascii")
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
    return head.encode("ascii") + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


async def _give(client: Pair, status: int, content: Mapping[str, Any]) -> None:
    reader, writer = client
    writer.write(_answer(status, content))
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            await writer.drain()
            writer.write_eof()
            # Closing with unread bytes would reset the connection and destroy the answer on its way.
            while await reader.read(heads.MAX_HEAD):
                pass
