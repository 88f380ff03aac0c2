"""How long a request for an image is held: until it is built, until nobody listens any more, or for so long."""

import asyncio
from contextlib import suppress

from fastapi import Request

from skep.edge.api.services import Services
from skep.edge.api.sse import Streams
from skep.product.access.model import Principal
from skep.product.images.model import BuildId

HELD_S = 300.0


async def until_built(
    request: Request, uses: Services, streams: Streams, caller: Principal, build: BuildId, held_s: float = HELD_S
) -> None:
    """Wait for the end of a build; a caller who hangs up, and a server that ends, are not waited for."""
    ended = asyncio.ensure_future(uses.images.ended(caller, build))
    waiting = (ended, asyncio.ensure_future(_hung_up(request)), asyncio.ensure_future(streams.ending()))
    try:
        await asyncio.wait(waiting, timeout=held_s, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
    finally:
        for task in waiting:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _hung_up(request: Request) -> None:
    """Return when the caller is gone; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
