"""Files that no row names go, once they are old enough that no row can be on its way."""

import os
from dataclasses import replace

import pytest

from skep.adapters.blobs import FolderBlobs, FolderLogs
from skep.kernel.errors import TooLargeError
from skep.product.blobs.model import BlobId, LogId
from skep.product.blobs.sweep import MIN_AGE_MS, Files, Sweep
from skep.testing import samples

_HOUR_MS = 3_600_000


@pytest.fixture
def files(tmp_path, hub):
    """Logs and blobs in folders."""
    return Files(logs=FolderLogs(tmp_path / "logs", hub), blobs=FolderBlobs(tmp_path / "blobs"))


@pytest.fixture
def sweep(db, stores, clock, files):
    """What sweeps them."""
    return Sweep(db, files, (stores.runs, stores.images), clock)


@pytest.fixture
def keep(ids, clock, files, tmp_path):
    """Keeps a log and a blob, last written some time ago, and returns their ids."""

    async def once():
        yield b"x"

    async def make(age_ms):
        log_id, blob_id = LogId(ids.new("log", 1)), BlobId(ids.new("blb", 1))
        await files.logs.append(log_id, "stdout", 1, b"x", 1)
        await files.blobs.put(blob_id, once(), limit=9)
        written_s = (clock.now_ms() - age_ms) / 1000
        for path in (*tmp_path.glob(f"logs/*/{log_id}*"), *tmp_path.glob(f"blobs/*/{blob_id}*")):
            os.utime(path, (written_s, written_s))
        return log_id, blob_id

    return make


async def test_what_no_row_names_goes(db, stores, sweep, files, keep):
    """Whoever names a file: an attempt, an artifact, a build, an upload; what nobody names is removed."""
    named = [await keep(2 * MIN_AGE_MS) for _ in range(2)]
    orphan = await keep(2 * MIN_AGE_MS)
    attempt = replace(samples.ATTEMPT, log_id=named[0][0])
    artifact = replace(samples.ARTIFACT, blob_id=named[0][1])

    def rows(tx):
        stores.runs.insert(tx, samples.RUN)
        stores.runs.insert_attempt(tx, attempt)
        stores.runs.put_artifacts(tx, samples.RUN.id, [artifact])
        stores.images.insert_build(tx, replace(samples.BUILD, log_id=named[1][0]))
        stores.images.insert_upload(tx, replace(samples.UPLOAD, blob_id=named[1][1]))

    await db.write(rows)
    swept = await sweep.sweep()
    assert (swept.count, swept.logs, swept.blobs) == (2, (orphan[0],), (orphan[1],))
    assert await files.logs.ids() == sorted(log_id for log_id, _ in named)
    assert await files.blobs.ids() == sorted(blob_id for _, blob_id in named)
    assert (await sweep.sweep()).count == 0


async def test_what_was_just_written_stays(sweep, files, keep, clock):
    """Its row may be on its way; when none came for a day, it goes."""
    log_id, blob_id = await keep(MIN_AGE_MS - _HOUR_MS)
    assert (await sweep.sweep()).count == 0
    assert (await files.logs.ids(), await files.blobs.ids()) == ([log_id], [blob_id])
    clock.advance(2 * _HOUR_MS / 1000)
    assert (await sweep.sweep()).count == 2


async def test_what_was_half_put_goes(sweep, files, ids, clock, tmp_path):
    """A crash in the middle of a put leaves a part under another name."""
    blob_id = BlobId(ids.new("blb", 1))

    async def endless():
        while True:
            yield b"x" * 10

    with pytest.raises(TooLargeError):
        await files.blobs.put(blob_id, endless(), limit=100)
    part = next(tmp_path.glob("blobs/*")) / f"{blob_id}.part"
    part.write_bytes(b"xxx")
    old_s = clock.now_ms() / 1000 - 2 * MIN_AGE_MS / 1000
    os.utime(part, (old_s, old_s))
    assert (await sweep.sweep()).blobs == (blob_id,)
    assert not part.exists()


async def test_more_than_a_batch(sweep, files, keep):
    """However many there are, all are compared."""
    for _ in range(3):
        await keep(2 * MIN_AGE_MS)
    many = [BlobId(blob_id) for blob_id in await files.blobs.ids()]
    assert sorted((await sweep.sweep()).blobs) == many
