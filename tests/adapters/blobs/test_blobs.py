"""Blobs in a folder."""

import hashlib

import pytest

from skep.adapters.blobs import FolderBlobs, free_bytes
from skep.kernel.errors import InvalidError, NotFoundError, TooLargeError, UnavailableError


async def pieces(*parts: bytes):
    """A source of bytes."""
    for part in parts:
        yield part


async def whole(blobs, blob_id, **part):
    """All that a get yields."""
    return b"".join([chunk async for chunk in blobs.get(blob_id, **part)])


async def test_what_was_put_is_read_again(blobs, ids):
    """A blob has the size and hash of its bytes, whole and in part, also for another object over the folder."""
    blob_id = ids.new("blb", 1)
    blob = await blobs.put(blob_id, pieces(b"abc", b"", b"defgh"), limit=8)
    assert (blob.id, blob.size, blob.sha256) == (blob_id, 8, hashlib.sha256(b"abcdefgh").hexdigest())
    again = FolderBlobs(blobs._root)
    assert await whole(again, blob_id) == b"abcdefgh"
    assert await whole(again, blob_id, offset=2, length=3) == b"cde"
    assert await whole(again, blob_id, offset=100) == b""
    assert await whole(again, blob_id, length=0) == b""


async def test_too_large_leaves_nothing(blobs, ids):
    """Beyond the limit nothing is kept."""
    blob_id = ids.new("blb", 1)
    with pytest.raises(TooLargeError):
        await blobs.put(blob_id, pieces(b"abc", b"d"), limit=3)
    assert await blobs.ids() == []
    with pytest.raises(NotFoundError):
        await whole(blobs, blob_id)


async def test_a_source_that_fails_leaves_nothing(blobs, ids):
    """When the source breaks off, nothing is kept and its own error is seen."""

    async def broken():
        yield b"abc"
        raise KeyError("source")

    with pytest.raises(KeyError):
        await blobs.put(ids.new("blb", 1), broken(), limit=10)
    assert await blobs.ids() == []


async def test_half_written_ones_are_listed_and_deleted(blobs, ids):
    """What a crash left of a put is listed for the clean-up, is not readable, and goes with delete."""
    blob_id = ids.new("blb", 1)
    await blobs.put(blob_id, pieces(b"x"), limit=1)
    path = next(blobs._root.glob("*/*"))
    path.rename(path.with_name(path.name + ".part"))
    assert await blobs.ids() == [blob_id]
    with pytest.raises(NotFoundError):
        await whole(blobs, blob_id)
    await blobs.delete(blob_id)
    await blobs.delete(blob_id)
    assert await blobs.ids() == []


@pytest.mark.parametrize("bad", ["../../etc/passwd", "", "blb_", "blb_" + "0" * 25 + "/", "blb_" + "0" * 26 + "\n"])
async def test_only_ids_become_names(blobs, bad):
    """Nothing but a well-formed id reaches the file system."""
    with pytest.raises(InvalidError):
        await blobs.put(bad, pieces(b"x"), limit=1)
    with pytest.raises(InvalidError):
        await blobs.delete(bad)


@pytest.mark.root
async def test_a_full_disk_is_said_so(ids, small_disk):
    """A disk without space is `disk_full`, nothing half-written stays, and small things fit again."""
    blobs = FolderBlobs(small_disk / "b")
    with pytest.raises(UnavailableError) as caught:
        await blobs.put(ids.new("blb", 1), pieces(b"x" * 300_000), limit=1 << 20)
    assert caught.value.code == "disk_full"
    assert await blobs.ids() == []
    await blobs.put(ids.new("blb", 1), pieces(b"x" * 1000), limit=1 << 20)
    assert free_bytes(small_disk) < 128 << 10
