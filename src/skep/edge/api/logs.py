"""A log over HTTP: as events, as JSON, as plain text."""

from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from skep.edge.api import render
from skep.edge.api.sse import Event, Streams, wants_stream
from skep.edge.wire.common import Listing, LogPiece
from skep.product.blobs.model import LogFrame


class Texts:
    """Reads frames as text; a character that two frames share is put together again."""

    def __init__(self) -> None:
        self._decoders: dict[str, IncrementalDecoder] = {}

    def piece(self, frame: LogFrame) -> LogPiece:
        """Return the frame as a piece of text; what is no UTF-8 is replaced."""
        decoder = self._decoders.get(frame.stream)
        if decoder is None:
            decoder = self._decoders[frame.stream] = getincrementaldecoder("utf-8")("replace")
        return render.log_piece(frame, decoder.decode(frame.data))


def pieces(frames: Sequence[LogFrame]) -> Listing[LogPiece]:
    """Render a part of a log; `next` is the offset to go on at, also when there is nothing more yet."""
    texts = Texts()
    items = [texts.piece(frame) for frame in frames]
    return Listing(items=items, next=str(frames[-1].next_offset) if frames else None)


async def answer(
    request: Request,
    streams: Streams,
    *,
    follow: bool,
    start: int,
    frames: Callable[[int], Awaitable[Sequence[LogFrame]]],
    following: Callable[[], AsyncIterator[LogFrame]],
    last: Callable[[], Awaitable[Event]],
) -> Response:
    """Answer with a log in the form that the caller asked for."""
    if wants_stream(request, follow=follow):
        return streams.respond(_events(following()), last)
    if "text/plain" in request.headers.get("accept", ""):
        return StreamingResponse(_plain(frames, start), media_type="text/plain; charset=utf-8")
    return Response(pieces(await frames(start)).model_dump_json(), media_type="application/json")


async def _plain(frames: Callable[[int], Awaitable[Sequence[LogFrame]]], start: int) -> AsyncIterator[bytes]:
    while found := await frames(start):
        yield b"".join(frame.data for frame in found)
        start = found[-1].next_offset


async def _events(frames: AsyncIterator[LogFrame]) -> AsyncIterator[Event]:
    texts = Texts()
    async for frame in frames:
        yield Event(id=str(frame.next_offset), data=texts.piece(frame).model_dump_json())
