"""The connections of one door: each is a task, and all end with the door."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from skep.product.gateway import head as heads
from skep.product.gateway.relay import Pair


class Connections:
    """Accepts what comes to the listeners of a door; *serve* has each connection for as long as it lasts."""

    def __init__(self, serve: Callable[[Pair], Awaitable[None]]) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many there are, the one that asks included."""
        return len(self._tasks)

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncGenerator[None]:
        """Serve *listener* until the block is left; then every connection is cut."""
        server = await asyncio.start_server(self._accept, sock=listener, limit=heads.MAX_HEAD)
        try:
            yield
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve((reader, writer))
        except asyncio.CancelledError:
            # `serving` is being left; asyncio's stream protocol would report the cancellation as an error.
            writer.transport.abort()
        except (OSError, EOFError):
            pass  # whoever asked has gone
        finally:
            self._tasks.discard(task)
            writer.close()
