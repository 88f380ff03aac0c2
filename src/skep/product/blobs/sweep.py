"""Removes files that nobody can ask for any more: those whose rows were deleted, and those that never got a row.

A row goes first, then its files. A crash in between leaves files that no row names; so does one between the
keeping of a file and the commit of its row. Both are found by comparing what is there with what is named.
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.product.blobs.model import BlobId, LogId, Released
from skep.product.blobs.ports import BlobStore, LogStore, Names

T = TypeVar("T", bound=str)

#: A file is on disk before its row is committed: one that was written so recently may be about to get its row.
MIN_AGE_MS = 24 * 3_600_000
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Logs and blobs, to be deleted."""

    logs: LogStore
    blobs: BlobStore

    async def delete(self, released: Released) -> None:
        """Delete the files of rows whose deletion is committed."""
        for log_id in released.logs:
            await self.logs.delete(log_id)
        for blob_id in released.blobs:
            await self.blobs.delete(blob_id)


class Sweep:
    """Finds files that no row names, and deletes them."""

    def __init__(self, db: Database, files: Files, names: Sequence[Names], clock: Clock) -> None:
        self._db = db
        self._files = files
        self._names = names
        self._clock = clock

    async def sweep(self) -> Released:
        """Delete what is old enough and named by no row; return what that was.

        The files are listed first, the rows are read second: a row that was committed meanwhile is seen.
        """
        before_ms = to_ms(self._clock.now()) - MIN_AGE_MS
        logs = await self._sweep(await self._files.logs.ids(before_ms=before_ms), self._files.logs.delete)
        blobs = await self._sweep(await self._files.blobs.ids(before_ms=before_ms), self._files.blobs.delete)
        return Released(count=len(logs) + len(blobs), logs=tuple(map(LogId, logs)), blobs=tuple(map(BlobId, blobs)))

    async def _sweep(self, there: list[T], delete: Callable[[T], Coroutine[Any, Any, None]]) -> list[T]:
        gone: list[T] = []
        for some in _parts(there):
            named = await self._db.read(lambda tx, some=some: self._named(tx, some))
            for file in some:
                if file not in named:
                    await delete(file)
                    gone.append(file)
        return gone

    def _named(self, tx: Tx, files: Sequence[str]) -> set[str]:
        return {name for names in self._names for name in names.named(tx, files)}


def _parts(items: list[T]) -> Iterator[list[T]]:
    left = iter(items)
    while part := list(islice(left, _AT_ONCE)):
        yield part
