"""What the gateway needs from outside."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from skep.product.gateway.model import ConnectionRecord, Digest, LockedFile
from skep.product.gateway.site import Answer, Asked

#: Is given each connection when it is over; must not block.
Recorder = Callable[[ConnectionRecord], None]


class Resolver(Protocol):
    """Turns a name into addresses."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of *host*, best first, as text; empty if there are none."""
        ...


class Site(Protocol):
    """Something that a door answers itself."""

    async def answer(self, asked: Asked) -> Answer:
        """Return the answer; what cannot be done is an answer, too. May be called by many at once."""
        ...


class Mirrors(Protocol):
    """The sites of package indexes that a build's door may have."""

    def python(self) -> Site:
        """Return `/pypi/`: the operator's indexes of Python packages, and their files."""
        ...

    def locked(self, files: Sequence[LockedFile]) -> Site:
        """Return `/locked/`: exactly *files*, each checked against its hash."""
        ...

    def npm(self) -> Site:
        """Return `/npm/`: the operator's npm registry."""
        ...


class Draft(Protocol):
    """A file on its way into the cache; it can be read while it grows."""

    async def write(self, data: bytes) -> None:
        """Append *data*."""
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Return at most *length* bytes that were written from *offset* on."""
        ...

    async def keep(self, digest: Digest) -> None:
        """Have it found from now on; to be called by who knows that this is its digest."""
        ...

    def close(self) -> None:
        """Let go of it: what was not kept is gone; more than once is no error."""
        ...


class CachedFile(Protocol):
    """A file of the cache, open: it can be read to its end though it is removed meanwhile."""

    size: int

    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield its bytes once, then close it."""
        ...

    def close(self) -> None:
        """Close it; more than once is no error."""
        ...


class PackageCache(Protocol):
    """Files by what they hold. It believes its writers: who reads checks the digest again."""

    #: What it holds at most; 0: it keeps nothing.
    limit_bytes: int

    async def find(self, digest: Digest) -> CachedFile | None:
        """Open a file and note its use, or return None."""
        ...

    async def draft(self) -> Draft:
        """Begin a file."""
        ...

    async def note(self, url: str, digest: Digest) -> None:
        """Remember for a while what the file at *url* was found to be, by who fetched it."""
        ...

    async def noted(self, url: str) -> Digest | None:
        """Return what was noted of *url*, unless it is too long ago."""
        ...

    async def forget(self, digest: Digest) -> None:
        """Remove a file; an absent one is no error."""
        ...

    async def prune(self) -> int:
        """Remove what is too old, and what was used longest ago while there is too much; return how many went."""
        ...
