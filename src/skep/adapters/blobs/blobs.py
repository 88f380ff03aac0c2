"""Immutable files: written under a name of their own, fsynced, then renamed."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from skep.adapters.blobs.files import disk_errors, fsync_folder, make_folder, place, stored, write_all
from skep.kernel.errors import NotFoundError, TooLargeError
from skep.kernel.ids import is_id
from skep.product.blobs.model import Blob, BlobId

_CHUNK = 1 << 18
_PART = ".part"


class FolderBlobs:
    """A `BlobStore` in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def put(self, blob_id: BlobId, data: AsyncIterator[bytes], *, limit: int) -> Blob:
        """Keep the bytes; `TooLargeError` beyond *limit*, and then nothing is kept."""
        final = place(self._root, blob_id)
        part = place(self._root, blob_id, _PART)
        with disk_errors():
            descriptor = await asyncio.to_thread(_create, part)
            try:
                size, sha256 = await _copy(data, descriptor, limit)
                await asyncio.to_thread(_keep, descriptor, part, final)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            finally:
                os.close(descriptor)
        return Blob(id=blob_id, size=size, sha256=sha256)

    async def get(self, blob_id: BlobId, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes; `NotFoundError` if there is no such blob."""
        with disk_errors():
            file = await asyncio.to_thread(_open, place(self._root, blob_id), offset)
            with file:
                left = length
                while left is None or left > 0:
                    chunk = await asyncio.to_thread(file.read, _CHUNK if left is None else min(_CHUNK, left))
                    if not chunk:
                        return
                    left = None if left is None else left - len(chunk)
                    yield chunk

    async def delete(self, blob_id: BlobId) -> None:
        """Remove it, and what a broken-off `put` left of it; an absent one is no error."""
        with disk_errors():
            for suffix in ("", _PART):
                await asyncio.to_thread(place(self._root, blob_id, suffix).unlink, missing_ok=True)

    async def ids(self, *, before_ms: int | None = None) -> list[BlobId]:
        """List all blobs, those among them that were begun and never finished: `delete` removes both."""
        with disk_errors():
            names = await asyncio.to_thread(lambda: set(stored(self._root, before_ms)))
        found = {name.removesuffix(_PART) for name in names}
        return sorted(BlobId(name) for name in found if is_id(name))


async def _copy(data: AsyncIterator[bytes], descriptor: int, limit: int) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0

    def keep(chunk: bytes) -> None:
        digest.update(chunk)
        write_all(descriptor, chunk)

    async for chunk in data:
        size += len(chunk)
        if size > limit:
            raise TooLargeError(f"It is larger than {limit} bytes.")
        await asyncio.to_thread(keep, chunk)
    return size, digest.hexdigest()


def _create(part: Path) -> int:
    make_folder(part.parent)
    return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _keep(descriptor: int, part: Path, final: Path) -> None:
    os.fsync(descriptor)
    part.rename(final)
    fsync_folder(final.parent)


def _open(path: Path, offset: int) -> BinaryIO:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NotFoundError("There is no such blob.", code="blob_not_found") from error
    file.seek(offset)
    return file
