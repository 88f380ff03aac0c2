"""Logs in a folder."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skep.adapters.blobs import FolderLogs
from skep.adapters.blobs import frames as format_
from skep.kernel.errors import ConflictError, InvalidError, TooLargeError, UnavailableError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.blobs.model import LogPosition

FILE = "log_" + "0" * 26


def file_of(logs: FolderLogs) -> Path:
    """The one log's file."""
    return next(logs._root.glob("*/*.log"))


async def collected(logs, log_id, offset=0):
    """All that a follower sees."""
    return [(frame.stream, frame.data) async for frame in logs.follow(log_id, offset)]


async def test_frames_come_back_in_order(logs):
    """Frames are read as they were appended, and each knows where the next starts."""
    await logs.append(FILE, "stdout", 5, b"one", 10)
    position = await logs.append(FILE, "stderr", 6, b"", 20)
    first, second = await logs.read(FILE)
    assert (first.stream, first.at_ms, first.data, first.offset) == ("stdout", 5, b"one", 0)
    assert (second.stream, second.data, second.offset) == ("stderr", b"", first.next_offset)
    assert position == LogPosition(end=second.next_offset, source_offset=20, closed=False)
    assert await logs.read(FILE, first.next_offset) == [second]
    assert await logs.read(FILE, second.next_offset) == []


async def test_an_absent_log_is_empty(logs):
    """Nothing was written yet: position 0, no frames, deleting it is no error."""
    assert await logs.position(FILE) == LogPosition(end=0, source_offset=0, closed=False)
    assert await logs.read(FILE) == []
    await logs.delete(FILE)


async def test_reading_is_bounded_and_yet_goes_on(logs):
    """A read stops near its limit, and gives at least one frame, however large."""
    for letter in b"abc":
        await logs.append(FILE, "stdout", 0, bytes([letter]) * 100_000, 0)
    got = await logs.read(FILE, 0, max_bytes=10)
    assert [len(frame.data) for frame in got] == [100_000]
    got = await logs.read(FILE, 0, max_bytes=250_000)
    assert [frame.data[:1] for frame in got] == [b"a", b"b"]
    with pytest.raises(TooLargeError):
        await logs.append(FILE, "stdout", 0, b"x" * (format_.MAX_DATA + 1), 0)


async def test_several_readers_follow_while_it_is_written(logs):
    """Each follower, early or late, sees every frame once, and ends when the log is closed."""
    early = asyncio.create_task(collected(logs, FILE))
    await logs.append(FILE, "stdout", 0, b"1", 0)
    later = asyncio.create_task(collected(logs, FILE))
    await asyncio.sleep(0)
    await logs.append(FILE, "stdout", 0, b"2", 0)
    await logs.close(FILE)
    expected = [("stdout", b"1"), ("stdout", b"2")]
    assert await early == await later == await collected(logs, FILE) == expected
    last = (await logs.read(FILE))[-1]
    assert await collected(logs, FILE, last.next_offset) == []
    assert await collected(logs, FILE, last.next_offset + 10_000) == []


async def test_a_removed_log_ends_its_followers(logs):
    """Who follows a log that is removed does not wait for ever."""
    task = asyncio.create_task(collected(logs, FILE))
    await logs.append(FILE, "stdout", 0, b"1", 0)
    for _ in range(1000):
        await asyncio.sleep(0.001)
        if not task.done() and (await logs.position(FILE)).end:
            break
    await logs.delete(FILE)
    async with asyncio.timeout(5):
        assert await task in ([("stdout", b"1")], [])


async def test_closed_means_closed(logs, hub):
    """A closed log takes nothing more, also after a restart; closing it again changes nothing."""
    await logs.append(FILE, "stdout", 0, b"1", 7)
    await logs.close(FILE)
    size = file_of(logs).stat().st_size
    for store in (logs, FolderLogs(logs._root, hub)):
        await store.close(FILE)
        assert await store.position(FILE) == LogPosition(end=size, source_offset=7, closed=True)
        with pytest.raises(ConflictError):
            await store.append(FILE, "stdout", 0, b"2", 8)


async def test_closed_by_many_at_once(logs):
    """Whoever follows a log that is over may close it: they do not get in each other's way."""
    for number in range(30):
        name = f"log_{number:026}"
        await logs.append(name, "stdout", 1, b"x", 0)

        await asyncio.gather(*(logs.close(name) for _ in range(8)))

        assert (await logs.position(name)).closed


async def test_a_closed_log_without_frames(logs):
    """A log that was closed before anything came ends its followers at once."""
    await logs.close(FILE)
    assert await collected(logs, FILE) == []


async def test_only_real_offsets_are_answered(logs):
    """An offset that no frame has is refused or finds nothing, and never costs memory."""
    await logs.append(FILE, "stdout", 0, b"\xff" * 500, 0)
    with pytest.raises(InvalidError):
        await logs.read(FILE, 60)
    assert await logs.read(FILE, 10**9) == []


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.binary(max_size=80), min_size=1, max_size=6),
    cut=st.integers(min_value=0, max_value=500),
    zeros=st.integers(min_value=0, max_value=40),
)
def test_a_torn_tail_is_cut_off(parts, cut, zeros, tmp_path_factory):
    """Wherever a crash cut the file, and whatever zeros the disk shows there, whole frames stay and work goes on."""

    async def check() -> None:
        root = tmp_path_factory.mktemp("torn")
        logs = FolderLogs(root, Hub())
        log_id = IdSource().new("log", 1)
        ends = [0]
        for number, part in enumerate(parts, 1):
            ends.append((await logs.append(log_id, "stdout", 0, part, number)).end)
        path = file_of(logs)
        keep = min(cut, ends[-1])
        path.write_bytes(path.read_bytes()[:keep] + b"\0" * zeros)
        whole = max(index for index, end in enumerate(ends) if end <= keep)
        # The zeros may happen to be what was cut off.
        again = FolderLogs(root, Hub())
        position = await again.append(log_id, "stderr", 0, b"next", 99)
        read = await again.read(log_id)
        kept = [frame.data for frame in read[:-1]]
        assert kept[:whole] == parts[:whole]
        assert len(kept) - whole <= 1
        assert read[-1].data == b"next"
        assert position.end == read[-1].next_offset == path.stat().st_size
        await again.delete(log_id)

    asyncio.run(check())


@settings(max_examples=100, deadline=None)
@given(garbage=st.binary(max_size=300), offset=st.integers(min_value=0, max_value=320))
def test_garbage_never_breaks_a_reader(garbage, offset, tmp_path_factory):
    """Whatever a file holds, a read answers frames or says that the offset is none."""

    async def check() -> None:
        logs = FolderLogs(tmp_path_factory.mktemp("garbage"), Hub())
        await logs.append(FILE, "stdout", 0, b"", 0)
        file_of(logs).write_bytes(garbage)
        with contextlib.suppress(InvalidError):
            assert all(frame.offset >= offset for frame in await logs.read(FILE, offset))
        await logs.delete(FILE)

    asyncio.run(check())


@pytest.mark.root
async def test_a_full_disk_loses_nothing_that_was_kept(hub, small_disk):
    """With the disk full an append is refused whole; what was there stays, and goes on once there is space."""
    logs = FolderLogs(small_disk / "logs", hub)
    await logs.append(FILE, "stdout", 0, b"kept", 1)
    before = await logs.position(FILE)
    with pytest.raises(UnavailableError) as caught:
        await logs.append(FILE, "stdout", 0, b"x" * 500_000, 2)
    assert caught.value.code == "disk_full"
    assert await logs.position(FILE) == before
    await logs.append(FILE, "stdout", 0, b"more", 3)
    await logs.close(FILE)
    assert [frame.data for frame in await logs.read(FILE)] == [b"kept", b"more"]
