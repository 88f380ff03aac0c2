"""One stream to a supervisor: frames out, frames in, each within its bounds."""

import asyncio
import json
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from skep.adapters.supervisor.answers import SupervisorGone, error_of
from skep.kernel.errors import InvalidError
from skep_supervisor import protocol

_FRAME = struct.Struct(protocol.FRAME)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: a JSON object, and bytes."""

    header: dict[str, Any]
    payload: bytes

    @property
    def last(self) -> bool:
        """Tell whether the answer ends with this frame."""
        return self.header.get("end") is True


def encode(header: dict[str, Any], payload: bytes = b"") -> bytes:
    """Return the bytes of a frame.

    Raises:
        InvalidError: it is larger than the protocol allows.
    """
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    if len(text) > protocol.MAX_HEADER or len(payload) > protocol.MAX_PAYLOAD:
        raise InvalidError("this is too large to be sent into a sandbox", code="sandbox_request_too_large")
    return _FRAME.pack(len(text), len(payload)) + text + payload


class Connection:
    """A connection that serves one request at a time; after any failure it must be closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answered = True

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Connect to the socket at *path*.

        Raises:
            SupervisorGone: nobody listens there.
        """
        try:
            return cls(*await asyncio.open_unix_connection(path))
        except OSError as error:
            raise SupervisorGone(f"the sandbox's supervisor cannot be reached: {error.strerror or error}") from error

    @property
    def reusable(self) -> bool:
        """Tell whether the last request was answered to its end, and the other side still seems to be there."""
        return self._answered and not self._writer.is_closing() and not self._reader.at_eof()

    async def send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Send one frame; waits while the other side does not read."""
        data = encode(header, payload)
        self._answered = False
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError as error:
            raise SupervisorGone("the supervisor closed the connection") from error

    async def receive(self) -> Frame:
        """Return the next frame of the answer.

        Raises:
            SupervisorGone: the connection ended, or this is no frame of the protocol.
            SkepError: the answer is an error.
        """
        try:
            header_size, payload_size = _FRAME.unpack(await self._reader.readexactly(_FRAME.size))
            if header_size > protocol.MAX_HEADER or payload_size > protocol.MAX_PAYLOAD:
                raise SupervisorGone("the supervisor sent a frame that is larger than the protocol allows")
            text = await self._reader.readexactly(header_size)
            payload = await self._reader.readexactly(payload_size)
        except asyncio.IncompleteReadError as error:
            raise SupervisorGone("the supervisor closed the connection") from error
        except OSError as error:
            raise SupervisorGone(f"the connection to the supervisor broke: {error.strerror or error}") from error
        frame = Frame(_parse(text), payload)
        self._answered = frame.last
        if "error" in frame.header:
            raise error_of(frame.header["error"], frame.header.get("message"))
        return frame

    def close(self) -> None:
        """Drop the connection."""
        self._writer.close()

    async def wait_closed(self) -> None:
        """Return when it is really gone."""
        with suppress(OSError):
            await self._writer.wait_closed()


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SupervisorGone("the supervisor sent a header that is no JSON") from error
    if not isinstance(header, dict):
        raise SupervisorGone("the supervisor sent a header that is no object")
    return header  # pyright: ignore[reportUnknownVariableType]
