"""The cache of package files: by what they hold, the one used longest ago goes first.

Nothing is synced: what a crash leaves may be torn. A file gets its name when its writer has checked it, and its
readers check it again, so a torn one is found before the last of it is handed out, and then forgotten.
"""

import asyncio
import hashlib
import os
import re
import secrets
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from skep.adapters.blobs.files import disk_errors, write_all
from skep.kernel.clock import Clock
from skep.kernel.errors import InvalidError
from skep.product.gateway.model import Digest

_CHUNK = 1 << 18
_HEX = re.compile(r"[0-9a-f]{64,128}")
_ALGORITHMS = frozenset({"sha256", "sha512"})
_DRAFTS, _NOTES = "drafts", "notes"
#: A registry never gives another file the same address; one that did is believed again after a day.
_NOTED_S = 86_400.0
#: So much is left when the limit was passed: not each new file is to look through them all.
_AFTER = 0.9


class FolderPackages:
    """A `PackageCache` in a folder of its own; one process uses it at a time."""

    def __init__(self, root: Path, clock: Clock, *, limit_bytes: int, keep_s: float) -> None:
        self.limit_bytes = limit_bytes
        self._root = root
        self._clock = clock
        self._keep_s = keep_s
        self._drafts = root / _DRAFTS
        self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._drafts.iterdir():
            left.unlink(missing_ok=True)
        #: Bytes kept, as far as they were counted; None: not yet counted.
        self._total: int | None = None
        self._counting = asyncio.Lock()

    async def find(self, digest: Digest) -> "CachedPackage | None":
        """Open a file and note its use, or return None."""
        place, now = self._place(digest), self._clock.now().timestamp()
        with disk_errors():
            return await asyncio.to_thread(_open, place, now)

    async def draft(self) -> "DraftPackage":
        """Begin a file."""
        part = self._drafts / secrets.token_hex(16)
        with disk_errors():
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = await asyncio.to_thread(os.open, part, flags, 0o600)
        return DraftPackage(descriptor, part, self._place, self._added)

    async def note(self, url: str, digest: Digest) -> None:
        """Remember for a day what the file at *url* was found to be."""
        note, now = self._note(url), self._clock.now().timestamp()
        with disk_errors():
            await asyncio.to_thread(_write_note, note, self._drafts / secrets.token_hex(16), digest, now)

    async def noted(self, url: str) -> Digest | None:
        """Return what was noted of *url* within a day."""
        since = self._clock.now().timestamp() - _NOTED_S
        with disk_errors():
            return await asyncio.to_thread(_read_note, self._note(url), since)

    def _note(self, url: str) -> Path:
        name = hashlib.sha256(url.encode()).hexdigest()
        return self._root / _NOTES / name[:2] / name

    async def forget(self, digest: Digest) -> None:
        """Remove a file; an absent one is no error."""
        with disk_errors():
            await asyncio.to_thread(self._place(digest).unlink, missing_ok=True)

    async def prune(self) -> int:
        """Remove what was not used for too long, and what was used longest ago while there is too much."""
        async with self._counting:
            with disk_errors():
                self._total, gone = await asyncio.to_thread(
                    _prune, self._root, self._clock.now().timestamp() - self._keep_s, self.limit_bytes
                )
        return gone

    async def _added(self, size: int) -> None:
        if self._total is None:
            await self.prune()
        else:
            self._total += size
            if self._total > self.limit_bytes:
                await self.prune()

    def _place(self, digest: Digest) -> Path:
        # Nothing but plain hex ever becomes part of a path.
        if digest.algorithm not in _ALGORITHMS or not _HEX.fullmatch(digest.hex):
            raise InvalidError("It is no digest.", code="bad_digest")
        return self._root / digest.algorithm / digest.hex[:2] / digest.hex


class CachedPackage:
    """An open file of the cache."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield its bytes once, then close it."""
        with self._file as file, disk_errors():
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk

    def close(self) -> None:
        """Close it; more than once is no error."""
        self._file.close()


class DraftPackage:
    """A file that is being written, under a name that nobody looks for."""

    def __init__(
        self,
        descriptor: int,
        part: Path,
        place: Callable[[Digest], Path],
        added: Callable[[int], Awaitable[None]],
    ) -> None:
        self._descriptor: int | None = descriptor
        self._part = part
        self._place = place
        self._added = added
        # A thread that nobody waits for any more must not meet another file under its descriptor.
        self._lock = threading.Lock()

    async def write(self, data: bytes) -> None:
        """Append *data*."""
        with disk_errors():
            await asyncio.to_thread(self._write, data)

    async def read(self, offset: int, length: int) -> bytes:
        """Return at most *length* bytes that were written from *offset* on."""
        with disk_errors():
            return await asyncio.to_thread(self._read, offset, length)

    async def keep(self, digest: Digest) -> None:
        """Have it found from now on."""
        place = self._place(digest)
        with disk_errors():
            size = await asyncio.to_thread(_keep, self._part, place)
        await self._added(size)

    def close(self) -> None:
        """Let go of it: what was not kept is gone; more than once is no error."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
            self._part.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._descriptor is not None:
                write_all(self._descriptor, data)

    def _read(self, offset: int, length: int) -> bytes:
        with self._lock:
            return b"" if self._descriptor is None else os.pread(self._descriptor, length, offset)


def _keep(part: Path, place: Path) -> int:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part.rename(place)
    return place.stat().st_size


def _open(place: Path, now: float) -> CachedPackage | None:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    os.utime(descriptor, (now, now))
    return CachedPackage(os.fdopen(descriptor, "rb"))


def _write_note(note: Path, part: Path, digest: Digest, now: float) -> None:
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part.write_text(f"{digest.algorithm} {digest.hex}")
    os.utime(part, (now, now))
    part.rename(note)


def _read_note(note: Path, since: float) -> Digest | None:
    try:
        if note.stat().st_mtime < since:
            return None
        algorithm, _, text = note.read_text().partition(" ")
    except FileNotFoundError:
        return None
    # A crash may have torn it: what is no digest says nothing.
    return Digest(algorithm, text) if algorithm in _ALGORITHMS and _HEX.fullmatch(text) else None


def _prune(root: Path, before: float, limit: int) -> tuple[int, int]:
    """Return the bytes that are left, and how many files went."""
    found: list[tuple[float, int, Path]] = []
    for algorithm in _ALGORITHMS:
        for place in (root / algorithm).glob("*/*"):
            try:
                info = place.stat()
            except FileNotFoundError:
                continue
            found.append((info.st_mtime, info.st_size, place))
    for note in (root / _NOTES).glob("*/*"):
        with suppress(FileNotFoundError):
            if note.stat().st_mtime < before:
                note.unlink()
    found.sort()
    total, gone = sum(size for _, size, _ in found), 0
    target = limit if total <= limit else int(limit * _AFTER)
    for used, size, place in found:
        if total <= target and used >= before:
            break
        place.unlink(missing_ok=True)
        total, gone = total - size, gone + 1
    return total, gone
