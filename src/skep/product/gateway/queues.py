"""How many ask one server at once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Queues:
    """Lets a few at once to each server; all others wait for their turn, but not for ever."""

    def __init__(self, at_once: int, patience_s: float) -> None:
        self._at_once = at_once
        self._patience_s = patience_s
        #: A server that nobody asks needs none.
        self._servers: WeakValueDictionary[object, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, server: object) -> AsyncGenerator[None]:
        """Wait for a turn at *server*, and have it until the block is left.

        Raises:
            TimeoutError: it did not come.
        """
        turns = self._servers.setdefault(server, asyncio.Semaphore(self._at_once))
        async with asyncio.timeout(self._patience_s):
            await turns.acquire()
        try:
            yield
        finally:
            turns.release()
