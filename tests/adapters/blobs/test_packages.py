"""The cache of package files."""

import hashlib
import os

import pytest

from skep.adapters.blobs.packages import FolderPackages
from skep.kernel.errors import InvalidError
from skep.product.gateway.model import Digest
from skep.testing.clock import ManualClock

DAY_S = 86_400.0


def digest(data: bytes, algorithm: str = "sha256") -> Digest:
    """Return what *data* is."""
    return Digest(algorithm, hashlib.new(algorithm, data).hexdigest())


@pytest.fixture
def clock():
    """A clock that is set by hand."""
    return ManualClock()


def cache(folder, clock, limit: int = 1000, keep_s: float = DAY_S) -> FolderPackages:
    """Open the cache in *folder*."""
    return FolderPackages(folder / "packages", clock, limit_bytes=limit, keep_s=keep_s)


async def put(packages: FolderPackages, data: bytes, algorithm: str = "sha256") -> Digest:
    """Keep *data*."""
    draft = await packages.draft()
    await draft.write(data)
    await draft.keep(digest(data, algorithm))
    draft.close()
    return digest(data, algorithm)


async def read(packages: FolderPackages, wanted: Digest) -> bytes | None:
    """Return what lies under a digest."""
    found = await packages.find(wanted)
    return None if found is None else b"".join([chunk async for chunk in found.chunks()])


def files(folder) -> list:
    """List all files, drafts included."""
    return [place for place in (folder / "packages").rglob("*") if place.is_file()]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_what_was_kept_is_found(tmp_path, clock, algorithm) -> None:
    """Also by the next process."""
    kept = await put(cache(tmp_path, clock), b"hello", algorithm)
    assert await read(cache(tmp_path, clock), kept) == b"hello"


async def test_a_draft_is_not_found_and_leaves_nothing(tmp_path, clock) -> None:
    """It can be read while it grows; let go of, or left behind by a crash, it is gone."""
    packages = cache(tmp_path, clock)
    draft = await packages.draft()
    await draft.write(b"a")
    assert await draft.read(0, 10) == b"a"
    assert await read(packages, digest(b"ab")) is None
    await packages.draft()
    draft.close()
    draft.close()
    await draft.write(b"b")
    assert await draft.read(0, 10) == b""
    assert len(files(tmp_path)) == 1
    cache(tmp_path, clock)
    assert files(tmp_path) == []


async def test_what_was_used_longest_ago_goes_first(tmp_path, clock) -> None:
    """A use counts, not the age; what is being read is read to its end all the same."""
    packages = cache(tmp_path, clock, limit=1000)
    first, second = await put(packages, b"1" * 400), await put(packages, b"2" * 400)
    clock.advance(1)
    assert await read(packages, first) is not None
    open_ = await packages.find(second)
    assert open_ is not None
    os.utime(tmp_path / "packages/sha256" / second.hex[:2] / second.hex, (0, 0))
    clock.advance(1)
    third = await put(packages, b"3" * 400)
    assert await read(packages, second) is None
    assert b"".join([chunk async for chunk in open_.chunks()]) == b"2" * 400
    assert await read(packages, first) is not None
    assert await read(packages, third) is not None


async def test_what_nobody_asks_for_goes_in_time(tmp_path, clock) -> None:
    """However much room there is."""
    packages = cache(tmp_path, clock)
    old = await put(packages, b"old")
    assert await read(packages, old) == b"old"
    clock.advance(DAY_S / 2)
    new = await put(packages, b"new")
    assert await read(packages, new) == b"new"
    assert await packages.prune() == 0
    clock.advance(DAY_S * 0.6)
    assert await packages.prune() == 1
    assert await read(packages, old) is None
    assert await read(packages, new) == b"new"


async def test_forgetting(tmp_path, clock) -> None:
    """An absent file is no error."""
    packages = cache(tmp_path, clock)
    kept = await put(packages, b"x")
    await packages.forget(kept)
    await packages.forget(kept)
    assert await read(packages, kept) is None


@pytest.mark.parametrize("text", ["", "..", "../../../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "/", "g" * 64])
async def test_only_a_digest_becomes_a_path(tmp_path, clock, text) -> None:
    """Nothing else is looked for."""
    with pytest.raises(InvalidError):
        await cache(tmp_path, clock).find(Digest("sha256", text))
    with pytest.raises(InvalidError):
        await cache(tmp_path, clock).find(Digest("..", "a" * 64))


async def test_notes_are_believed_for_a_day(tmp_path, clock) -> None:
    """And one that a crash tore says nothing."""
    packages = cache(tmp_path, clock, keep_s=2 * DAY_S)
    await packages.note("https://r/x.tgz", digest(b"x"))
    assert await cache(tmp_path, clock).noted("https://r/x.tgz") == digest(b"x")
    assert await packages.noted("https://r/y.tgz") is None
    clock.advance(DAY_S + 1)
    assert await packages.noted("https://r/x.tgz") is None
    await packages.note("https://r/x.tgz", digest(b"y"))
    note, now = next((tmp_path / "packages/notes").glob("*/*")), clock.now().timestamp()
    note.write_text("sha256 ")
    os.utime(note, (now, now))
    assert await packages.noted("https://r/x.tgz") is None
    clock.advance(3 * DAY_S)
    await packages.prune()
    assert files(tmp_path) == []
