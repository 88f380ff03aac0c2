"""What blobs and logs share: names made from ids, fsync, and the translation of disk errors."""

import errno
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from skep.kernel.errors import InvalidError, UnavailableError
from skep.kernel.ids import is_id

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: Letters of an id that name its folder; the last ones, because they are random.
_SHARD = 2


def place(root: Path, thing_id: str, suffix: str = "") -> Path:
    """Return the file of *thing_id*: nothing but a well-formed id ever becomes part of a path."""
    if not is_id(thing_id):
        raise InvalidError(f"{thing_id!r} is no id.", code="bad_id")
    return root / thing_id[-_SHARD:] / (thing_id + suffix)


@contextmanager
def disk_errors() -> Generator[None]:
    """Translate what a disk can do to us; a missing file stays `FileNotFoundError`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise UnavailableError(
                "The disk of the data folder is full.", code="disk_full", hint="Free some space, then try again."
            ) from error
        raise UnavailableError(f"The data folder cannot be used: {error.strerror}.", code="storage_failed") from error


def make_folder(folder: Path) -> None:
    """Make *folder* and have its name on disk before anything is put into it."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fsync_folder(folder.parent)


def fsync_folder(folder: Path) -> None:
    """Have the names in *folder* on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stored(root: Path, before_ms: int | None) -> Iterator[str]:
    """Yield the names of all files below *root*, or of those last written before *before_ms*."""
    for shard in os.scandir(root):
        for entry in os.scandir(shard) if shard.is_dir(follow_symlinks=False) else ():
            try:
                if before_ms is None or entry.stat(follow_symlinks=False).st_mtime_ns < before_ms * 1_000_000:
                    yield entry.name
            except FileNotFoundError:
                continue  # removed, or given its final name, meanwhile


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of *data*, however little the kernel takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def free_bytes(folder: Path) -> int:
    """Return how much an ordinary user may still write below *folder*."""
    return shutil.disk_usage(folder).free
