"""What is kept outside the database."""

from dataclasses import dataclass
from typing import NewType

BlobId = NewType("BlobId", str)
LogId = NewType("LogId", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """An immutable file; it is on disk, fsynced, before any row names it."""

    id: BlobId
    size: int
    #: SHA-256 of the content, hex.
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFrame:
    """A piece of a log: who wrote it, when, what, and where the next piece starts."""

    #: "stdout", "stderr" or "system".
    stream: str
    at_ms: int
    data: bytes
    #: Byte offset of this frame in the log, and of the one after it.
    offset: int
    next_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPosition:
    """Where a log ends, and how far into its source it has come."""

    #: Byte offset of the end of the last whole frame.
    end: int
    #: `source_offset` of the last frame appended with one; 0 at the start.
    source_offset: int
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What rows named that were deleted: files that nobody can ask for any more, once that is committed."""

    #: How many things were deleted.
    count: int
    logs: tuple[LogId, ...] = ()
    blobs: tuple[BlobId, ...] = ()
