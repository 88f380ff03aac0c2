"""One file that is being fetched, followed by those who wait for it; and the check of what is handed out."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from skep.product.gateway.mirror.shares import Room, Share
from skep.product.gateway.model import Digest
from skep.product.gateway.ports import Draft
from skep.product.gateway.site import BrokenOffError

PIECE = 256 * 1024
#: A download that nobody waits for any more goes on for so long: uv looks into a wheel, leaves, and comes again.
_ALONE_S = 30.0
#: Of those who ask for one file; further ones are answered as well.
_MAX_CLAIMS = 64


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
    """One file that is being fetched at its index' pace; its readers follow it at theirs."""

    def __init__(self, draft: Draft, room: Room, algorithm: str, name: str) -> None:
        loop = asyncio.get_running_loop()
        #: The length, or None if the index does not say it; fails if the file cannot be had.
        self.begun: asyncio.Future[int | None] = loop.create_future()
        # Nobody may be there any more to hear of a failure.
        self.begun.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.task: asyncio.Task[None] | None = None
        #: What those who ask for it say that it is.
        self.claims: set[Digest] = set()
        #: Kept by what it turns out to be, too: its address is the registry's own.
        self.unnamed = False
        #: What it turned out to be.
        self.found: Digest | None = None
        #: It broke off and was taken up again: together it may be nobody's file.
        self.resumed = False
        self._draft = draft
        self._room = room
        self._name = name
        self._algorithm = algorithm
        self._running = hashlib.new(algorithm)
        #: What was fetched, and how much of it may be read.
        self._written = self._readable = 0
        self._over = False
        self._failure = ""
        #: Those who read, and the one who writes.
        self._holders = 1
        self._alone: asyncio.TimerHandle | None = None
        self._moved = asyncio.Event()

    def join(self, share: Share, digest: Digest | None) -> None:
        """Count one more who reads, for a door that has *share*, and who says that the file is that of *digest*."""
        self._holders += 1
        self._room.join(share)
        if digest is not None and digest.algorithm == self._algorithm and len(self.claims) < _MAX_CLAIMS:
            self.claims.add(digest)
        if self._alone is not None:
            self._alone.cancel()
            self._alone = None

    def leave(self) -> None:
        """Count one less; the last one closes the file, and who writes for nobody ends after a while."""
        self._holders -= 1
        if self._holders == 0:
            self._draft.close()
            self._room.close()
        elif self._holders == 1 and not self._over and self.task is not None:
            self._alone = asyncio.get_running_loop().call_later(_ALONE_S, self.task.cancel)

    async def write(self, chunk: bytes) -> None:
        """Append what was fetched; what came before it may be read now.

        Raises:
            SkepError: there is no room for it.
        """
        self._room.grow(len(chunk))
        self._running.update(chunk)
        await self._draft.write(chunk)
        self._readable, self._written = self._written, self._written + len(chunk)
        self._tell()

    @property
    def written(self) -> int:
        """Return how much was fetched."""
        return self._written

    def begin(self) -> None:
        """Find out whether there is room at all.

        Raises:
            SkepError: there is none.
        """
        self._room.grow(0)

    async def end(self, limit_bytes: int) -> bool:
        """End it well; tell whether it is kept: it is what somebody said, and not larger than *limit_bytes*.

        Raises:
            SkepError: the data folder cannot be used.
        """
        found = Digest(self._algorithm, self._running.hexdigest())
        keep = (self.unnamed or found in self.claims) and self._written <= limit_bytes
        if keep:
            await self._draft.keep(found)
            self._room.close()
        self.found, self._readable = found, self._written
        self._finish()
        return keep

    def fail(self, failure: str) -> None:
        """End it for the reason of a *failure*."""
        self._failure = failure
        self._finish()

    def read(self, digest: Digest | None) -> AsyncGenerator[bytes]:
        """Yield the file as it comes, to its end if it is that of *digest*; whoever joined leaves with it.

        Raises:
            BrokenOffError: it does not come to its end.
        """
        if digest is None or digest.algorithm == self._algorithm:
            return self._read(digest)
        return self._checked(digest)

    async def _checked(self, digest: Digest) -> AsyncGenerator[bytes]:
        async with aclosing(self._read(None)) as chunks, aclosing(checked(chunks, digest)) as good:
            async for chunk in good:
                yield chunk

    async def _read(self, digest: Digest | None) -> AsyncGenerator[bytes]:
        try:
            offset = 0
            while True:
                moved = self._moved
                if self.found is not None:
                    self._check(self.found, digest)
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

    def _check(self, found: Digest, digest: Digest | None) -> None:
        if digest == found:
            return
        if digest is not None:
            said = f"gave another file than the one with the hash {digest.algorithm}:{digest.hex}"
            raise BrokenOffError(f"{self._name} {said}")
        if self.resumed and found not in self.claims:
            raise BrokenOffError(f"{self._name} broke the file off")

    def _finish(self) -> None:
        self._over = True
        if self._alone is not None:
            self._alone.cancel()
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
