"""What one door may take of what all doors have together: answers of indexes, and room for files on their way."""

import asyncio

from skep.kernel.errors import LimitError
from skep.product.blobs.space import Space

#: Open answers of indexes, well below what all doors together may have of one server.
_LEGS = 8
#: Files that are fetched, or that somebody still reads and that are kept for nobody.
_FILES = 6


class Spool:
    """The room for files on their way, in bytes and on the disk."""

    def __init__(self, limit_bytes: int, space: Space) -> None:
        self._limit_bytes = limit_bytes
        self._space = space
        self._taken = 0

    def share(self) -> "Share":
        """Return the share of one more door."""
        return Share(self)

    def take(self, size: int, mine: int) -> None:
        """Take room for *size* bytes, for a door that has *mine* already.

        A door has at most twice of what it leaves to others: however many take what they can, one more finds room.

        Raises:
            LimitError: the door has its share.
            UnavailableError: `disk_full`.
        """
        if mine + size > 2 * (self._limit_bytes - self._taken - size):
            raise LimitError(
                "This build has too many bytes of package files on their way at once.", code="too_many_downloads"
            )
        self._space.require("no package files are fetched")
        self._taken += size

    def give_back(self, size: int) -> None:
        """Give back the room of *size* bytes."""
        self._taken -= size


class Share:
    """What one door has of it."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._taken = 0
        self._files = asyncio.Semaphore(_FILES)
        #: Held by whoever asks an index for something.
        self.leg = asyncio.Semaphore(_LEGS)

    async def room(self) -> "Room":
        """Wait until one more file may be fetched."""
        await self._files.acquire()
        return Room(self)

    def take(self, size: int) -> None:
        """Take room for *size* bytes.

        Raises:
            LimitError: the door has its share.
            UnavailableError: `disk_full`.
        """
        self._spool.take(size, self._taken)
        self._taken += size

    def give_back(self, size: int) -> None:
        """Give back the room of *size* bytes."""
        self._spool.give_back(size)
        self._taken -= size

    def let_another_in(self) -> None:
        """Give back the place of a file."""
        self._files.release()


class Room:
    """The room of one file, which grows with it: at the cost of who asked first, then of those that joined it."""

    def __init__(self, share: Share) -> None:
        self._owner = share
        self._taken: dict[Share, int] = {share: 0}
        self._closed = False

    def join(self, share: Share) -> None:
        """Let it grow at the cost of *share*, too: a door that has its own keeps no other one from a file."""
        self._taken.setdefault(share, 0)

    def grow(self, size: int) -> None:
        """Take room for *size* bytes more.

        Raises:
            LimitError: all who want it have their share.
            UnavailableError: `disk_full`.
        """
        refused: LimitError | None = None
        for share in self._taken if not self._closed else ():
            try:
                share.take(size)
            except LimitError as error:
                refused = refused or error
                continue
            self._taken[share] += size
            return
        if refused is not None:
            raise refused

    def close(self) -> None:
        """Give it back; more than once is no error."""
        if not self._closed:
            self._closed = True
            for share, size in self._taken.items():
                share.give_back(size)
            self._owner.let_another_in()
