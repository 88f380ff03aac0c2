"""A log over HTTP: as events, as JSON, as plain text."""

from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from skep.edge.api import render
from skep.edge.api.sse import Event
from skep.edge.wire.common import Listing, LogPiece
from skep.product.blobs.model import LogFrame

#: Reads whole frames from an offset on; none at the end.
Read = Callable[[int], Awaitable[Sequence[LogFrame]]]


class Texts:
    """Reads the frames of one log as text; a character that two frames share is put together again."""

    def __init__(self, attempt: int = 1) -> None:
        self._attempt = attempt
        self._decoders: dict[str, IncrementalDecoder] = {}

    def piece(self, frame: LogFrame) -> LogPiece:
        """Return the frame as a piece of text; what is no UTF-8 is replaced."""
        decoder = self._decoders.get(frame.stream)
        if decoder is None:
            decoder = self._decoders[frame.stream] = getincrementaldecoder("utf-8")("replace")
        return render.log_piece(frame, decoder.decode(frame.data), self._attempt)


async def answer(request: Request, read: Read, start: int, attempt: int = 1) -> Response:
    """Answer with a log: all of it as text/plain if that is asked for, else a part as JSON.

    The part's `next` is the offset to go on at; null when there is nothing at *start* or behind it, yet.
    """
    if "text/plain" in request.headers.get("accept", ""):
        return StreamingResponse(_plain(read, start), media_type="text/plain; charset=utf-8")
    frames = await read(start)
    texts = Texts(attempt)
    page = Listing[LogPiece](
        items=[texts.piece(frame) for frame in frames], next=str(frames[-1].next_offset) if frames else None
    )
    return Response(page.model_dump_json(), media_type="application/json")


async def _plain(read: Read, start: int) -> AsyncIterator[bytes]:
    while frames := await read(start):
        yield b"".join(frame.data for frame in frames)
        start = frames[-1].next_offset


async def events(frames: AsyncIterator[LogFrame], attempt: int | None = None) -> AsyncIterator[Event]:
    """Render the frames of a log as events; their ids say where to go on, and, of a run, in which attempt."""
    texts = Texts(attempt or 1)
    prefix = "" if attempt is None else f"{attempt}-"
    async for frame in frames:
        yield Event(id=f"{prefix}{frame.next_offset}", data=texts.piece(frame).model_dump_json())
