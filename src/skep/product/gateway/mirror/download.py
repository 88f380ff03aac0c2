"""One file that is being fetched, followed by those who wait for it; and the check of what is handed out."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from skep.product.gateway.model import Digest
from skep.product.gateway.ports import Draft
from skep.product.gateway.site import BrokenOffError

PIECE = 256 * 1024
#: A download that nobody waits for any more goes on for so long: uv looks into a wheel, leaves, and comes again.
_ALONE_S = 30.0


class Running(Protocol):
    """A digest that is being made (`hashlib`)."""

    def update(self, data: bytes, /) -> None:
        """Add *data*."""
        ...


async def checked(chunks: AsyncIterator[bytes], digest: Digest) -> AsyncGenerator[bytes]:
    """Yield *chunks*, the last one only when all are what *digest* says.

    Raises:
        BrokenOffError: they are not.
    """
    running, held = hashlib.new(digest.algorithm), b""
    async for chunk in chunks:
        running.update(chunk)
        if held:
            yield held
        held = chunk
    if running.hexdigest() != digest.hex:
        raise BrokenOffError(f"the file is not the one of {digest.algorithm} {digest.hex}")
    yield held


class Download:
    """One file that is being fetched; its readers follow it."""

    def __init__(self, draft: Draft, digest: Digest) -> None:
        loop = asyncio.get_running_loop()
        #: The length, or None if the index does not say it; fails if the file cannot be had.
        self.begun: asyncio.Future[int | None] = loop.create_future()
        # Nobody may be there any more to hear of a failure.
        self.begun.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.task: asyncio.Task[None] | None = None
        self._draft = draft
        self._digest = digest
        #: What was fetched, and how much of it may be read.
        self._written = self._readable = 0
        self._over = False
        self._failure = ""
        #: Those who read, and the one who writes.
        self._holders = 1
        self._alone: asyncio.TimerHandle | None = None
        self._moved = asyncio.Event()

    def join(self) -> None:
        """Count one more who reads."""
        self._holders += 1
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None

    def leave(self) -> None:
        """Count one less; the last one closes the file, and who writes for nobody ends after a while."""
        self._holders -= 1
        if self._holders == 0:
            self._draft.close()
        elif self._holders == 1 and not self._over and self.task is not None:
            self._alone = asyncio.get_running_loop().call_later(_ALONE_S, self.task.cancel)

    async def write(self, chunk: bytes) -> None:
        """Append what was fetched; what came before it may be read now."""
        await self._draft.write(chunk)
        self._readable, self._written = self._written, self._written + len(chunk)
        self._tell()

    @property
    def written(self) -> int:
        """Return how much was fetched."""
        return self._written

    async def end(self, failure: str = "") -> None:
        """End it: well, and then it is kept and can be read to its end, or for the reason of a *failure*."""
        try:
            if not failure:
                await self._draft.keep(self._digest)
                self._readable = self._written
        finally:
            self._over, self._failure = True, failure
            if self._alone is not None:
                self._alone.cancel()
            self._tell()

    async def read(self) -> AsyncGenerator[bytes]:
        """Yield the file from its beginning, as it comes; whoever joined leaves with it."""
        try:
            offset = 0
            while True:
                moved = self._moved
                if offset < self._readable:
                    data = await self._draft.read(offset, min(PIECE, self._readable - offset))
                    offset += len(data)
                    yield data
                elif self._over:
                    break
                else:
                    await moved.wait()
            if self._failure:
                raise BrokenOffError(self._failure)
        finally:
            self.leave()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
