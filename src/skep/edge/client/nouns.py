"""What the classes of all nouns share: a transport, and listings that are walked page by page."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from skep.edge.client.transport import PREFIX, Transport
from skep.edge.wire.common import Listing, LogPiece

M = TypeVar("M", bound=BaseModel)

_PAGE = 200
_FIRST_LOOK_S, _LAST_LOOK_S = 0.02, 1.0


class Noun:
    """A group of endpoints."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _page(self, item: type[M], path: str, **params: Any) -> Listing[M]:
        """Return one page of a listing."""
        return await self._transport.call(Listing[item], "GET", PREFIX + path, params=params)

    async def _pages(self, item: type[M], path: str, *, limit: int | None = None, **params: Any) -> AsyncIterator[M]:
        """Yield the items of a listing, page after page, at most *limit*."""
        left = limit
        cursor: str | None = None
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = await self._page(item, path, limit=size, cursor=cursor, **params)
            for found in page.items[:left]:
                yield found
            left = None if left is None else left - len(page.items)
            cursor = page.next
            if cursor is None:
                return

    async def _until(self, read: Callable[[], Awaitable[M]], over: Callable[[M], bool]) -> M:
        """Read again and again, ever more slowly, until the thing is over."""
        self._transport.persist()
        wait_s = _FIRST_LOOK_S
        while not over(found := await read()):
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LAST_LOOK_S)
        return found

    async def _log(self, path: str, offset: int, *, follow: bool) -> AsyncIterator[LogPiece]:
        """Yield the pieces of a log from *offset* on; following ends when the log does."""
        if follow:
            events = self._transport.events(PREFIX + path, params={"follow": True}, last_id=str(offset or ""))
            async for event in events:
                yield LogPiece.model_validate_json(event.data)
            return
        while True:
            page = await self._page(LogPiece, path, offset=offset)
            for piece in page.items:
                yield piece
                offset = piece.next
            if page.next is None or not page.items:
                return
