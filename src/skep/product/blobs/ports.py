"""Where blobs and logs are kept."""

from collections.abc import AsyncIterator, Collection
from typing import Protocol

from skep.kernel.database import Tx
from skep.product.blobs.model import Blob, BlobId, LogFrame, LogId, LogPosition


class BlobStore(Protocol):
    """Immutable files. `put` returns only when file and folder are on disk (fsync)."""

    async def put(self, blob_id: BlobId, data: AsyncIterator[bytes], *, limit: int) -> Blob:
        """Keep the bytes; `TooLargeError` beyond *limit*, and then nothing is kept."""
        ...

    def get(self, blob_id: BlobId, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes; `NotFoundError` if there is no such blob."""
        ...

    async def delete(self, blob_id: BlobId) -> None:
        """Remove it; an absent one is no error."""
        ...

    async def ids(self, *, before_ms: int | None = None) -> list[BlobId]:
        """List all blobs, whole and half put, or those last written before *before_ms*: no row may name some."""
        ...


class LogStore(Protocol):
    """Append-only framed logs; a torn last frame (after a crash) is cut off when the log is opened again."""

    async def append(self, log_id: LogId, stream: str, at_ms: int, data: bytes, source_offset: int) -> LogPosition:
        """Add a frame. *source_offset*: how far the source was read with it, to go on there after a crash."""
        ...

    async def position(self, log_id: LogId) -> LogPosition:
        """Say where the log ends; an absent one is empty."""
        ...

    async def close(self, log_id: LogId) -> None:
        """Say that nothing more will come, and fsync file and folder; followers end after the last frame."""
        ...

    async def read(self, log_id: LogId, offset: int = 0, *, max_bytes: int = 1 << 20) -> list[LogFrame]:
        """Return whole frames from *offset* on (a frame's own or next offset); empty at the end."""
        ...

    def follow(self, log_id: LogId, offset: int = 0) -> AsyncIterator[LogFrame]:
        """Yield frames from *offset* on as they come, until the log is closed."""
        ...

    async def delete(self, log_id: LogId) -> None:
        """Remove it; an absent one is no error."""
        ...

    async def ids(self, *, before_ms: int | None = None) -> list[LogId]:
        """List all logs, or those last written before *before_ms*: no row may name some."""
        ...


class Names(Protocol):
    """Knows which files its rows name; the stores of runs and of images do."""

    def named(self, tx: Tx, files: Collection[str]) -> set[str]:
        """Return those of the logs and blobs *files* that a row names."""
        ...
