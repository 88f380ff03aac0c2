"""Puts files from a server into a folder: their paths and contents are an agent's, which nobody vouches for.

Nothing is written outside the folder, no link in it is followed, and no file is half there.
"""

import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from skep.edge.cli.clean import clean
from skep.edge.wire.runs import ArtifactView
from skep.kernel.errors import ConflictError, InvalidError, UnavailableError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_of(path: str) -> tuple[str, ...]:
    """Take a path apart that must stay below a folder.

    Raises:
        InvalidError: it is absolute, climbs, or holds what would act on a terminal when the folder is listed.
    """
    parts = tuple(path.split("/"))
    if any(part in ("", ".", "..") for part in parts) or clean(path) != path or {"\n", "\t"} & set(path):
        raise InvalidError(
            f"the path {path[:200]!a} is not safe to write",
            code="unsafe_path",
            hint="fetch the others by their names",
        )
    return parts


async def save(folder: Path, file: ArtifactView, data: AsyncIterator[bytes], *, force: bool) -> None:
    """Put *file* below *folder*, which is made if it is not there; what is there already stays unless *force*.

    Raises:
        InvalidError: the path is not safe.
        ConflictError: something is in the way, or the file system refuses.
        UnavailableError: the data are not those that were announced, or stopped coming.
    """
    *above, name = parts_of(file.path)
    with _words(file.path), _below(folder, above) as parent, _claimed(parent, name, force=force):
        part = f".{secrets.token_hex(8)}.part"
        try:
            with os.fdopen(os.open(part, _NEW, 0o666, dir_fd=parent), "wb") as target:
                await _copy(file, data, target)
            os.rename(part, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=parent)
            raise


async def _copy(file: ArtifactView, data: AsyncIterator[bytes], target: BinaryIO) -> None:
    digest, size = hashlib.sha256(), 0
    async for piece in data:
        size += len(piece)
        if size > file.size:
            break
        digest.update(piece)
        target.write(piece)
    if (size, digest.hexdigest()) != (file.size, file.sha256):
        raise UnavailableError(
            f"what came for {file.path!a} is not what was announced", code="broken_artifact", hint="try again"
        )


@contextmanager
def _below(folder: Path, above: list[str]) -> Generator[int]:
    """Hold the folder open that lies *above* a file, making what is missing; only *folder* itself may be a link."""
    folder.mkdir(parents=True, exist_ok=True)
    here = os.open(folder, _FOLDER)
    try:
        for part in above:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=here)
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        yield here
    finally:
        os.close(here)


@contextmanager
def _claimed(parent: int, name: str, *, force: bool) -> Generator[None]:
    """Hold a file's name, so that nothing else can come to be there; it goes again when the block fails."""
    if force:
        yield
        return
    os.close(os.open(name, _NEW, 0o666, dir_fd=parent))
    try:
        yield
    except BaseException:
        os.unlink(name, dir_fd=parent)
        raise


@contextmanager
def _words(path: str) -> Generator[None]:
    """Say what the file system says in Skep's errors."""
    try:
        yield
    except FileExistsError as error:
        raise ConflictError(
            f"{path!a} is there already",
            code="file_exists",
            hint="--force replaces it; -o DIR chooses another folder",
        ) from error
    except OSError as error:
        raise ConflictError(f"{path!a} cannot be written: {error.strerror}", code="not_written") from error
