"""A log over HTTP: as events, as JSON, as plain text."""

from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from fastapi import Request, Response
from starlette.responses import PlainTextResponse

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
    frames: Callable[[], Awaitable[Sequence[LogFrame]]],
    following: Callable[[], AsyncIterator[LogFrame]],
    last: Callable[[], Awaitable[Event]],
) -> Response:
    """Answer with a log in the form that the caller asked for."""
    if wants_stream(request, follow=follow):
        return streams.respond(_events(following()), last)
    found = await frames()
    if "text/plain" in request.headers.get("accept", ""):
        text = b"".join(frame.data for frame in found).decode("utf-8", "replace")
        return PlainTextResponse(text)
    return Response(pieces(found).model_dump_json(), media_type="application/json")


async def _events(frames: AsyncIterator[LogFrame]) -> AsyncIterator[Event]:
    texts = Texts()
    async for frame in frames:
        yield Event(id=str(frame.next_offset), data=texts.piece(frame).model_dump_json())
