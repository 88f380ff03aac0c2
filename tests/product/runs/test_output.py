"""Output on its way into a log."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.adapters.blobs import FolderLogs
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.runs.output import copy_output, merged, shown
from skep.product.sandboxes.model import OutputChunk, Stream


def chunk(data, stream=Stream.STDOUT, offset=0):
    """A piece of output."""
    return OutputChunk(stream=stream, at_ms=1, data=data, next_offset=offset)


async def source(chunks):
    """All pieces, at once."""
    for item in chunks:
        yield item


PIECES = st.lists(st.tuples(st.sampled_from(Stream), st.binary(max_size=10)), max_size=30)


@given(PIECES)
def test_merging_changes_nothing_but_the_number(pieces):
    """The same bytes come in the same order and stream, the last offset is the last, and neighbours are joined."""
    chunks = [chunk(data, stream, number) for number, (stream, data) in enumerate(pieces, 1)]

    async def play():
        return [item async for item in merged(source(chunks))]

    out = asyncio.run(play())
    for stream in Stream:
        assert b"".join(c.data for c in out if c.stream is stream) == b"".join(
            c.data for c in chunks if c.stream is stream
        )
    assert [c.next_offset for c in out[-1:]] == [c.next_offset for c in chunks[-1:]]
    assert all(a.stream is not b.stream for a, b in itertools.pairwise(out))


async def test_what_is_there_is_not_held_back():
    """A piece is passed on though the next one does not come."""
    never = asyncio.Event()

    async def slow():
        yield chunk(b"first", offset=1)
        await never.wait()
        yield chunk(b"second", offset=2)

    pieces = merged(slow())
    async with asyncio.timeout(5):
        assert (await anext(pieces)).data == b"first"
    never.set()
    assert (await anext(pieces)).data == b"second"
    await pieces.aclose()


async def test_an_error_of_the_source_is_seen():
    """When the source fails, so does the reader, who takes it up again from what was kept."""

    async def broken():
        yield chunk(b"x")
        raise OSError("gone")

    async def read():
        return [item async for item in merged(broken())]

    with pytest.raises(OSError, match="gone"):
        await read()


@given(sizes=st.lists(st.integers(0, 40), max_size=10), limit=st.integers(0, 100), cut=st.integers(0, 10))
def test_the_servers_own_limit(sizes, limit, cut, tmp_path_factory):
    """Never more than the limit is kept, also when copying is broken off and taken up; less only if less came."""

    async def play():
        hub = Hub()
        logs = FolderLogs(tmp_path_factory.mktemp("log"), hub)
        log_id = IdSource().new("log", 1)
        chunks = [chunk(b"x" * size, offset=number) for number, size in enumerate(sizes, 1)]
        truncated = await copy_output(source(chunks[:cut]), logs, log_id, limit=limit)
        position = await logs.position(log_id)
        rest = [item for item in chunks if item.next_offset > position.source_offset]
        if not truncated:
            truncated = await copy_output(source(rest), logs, log_id, limit=limit)
        output = await shown(logs, log_id, truncated=truncated)
        assert len(output.stdout) == min(limit, sum(sizes))
        assert truncated or sum(sizes) <= limit
        await logs.delete(log_id)

    asyncio.run(play())


async def test_characters_that_two_frames_share(tmp_path, hub):
    """Text is put together from bytes before it is read as UTF-8; streams are kept apart."""
    logs = FolderLogs(tmp_path, hub)
    log_id = IdSource().new("log", 1)
    for number, byte in enumerate("ü".encode()):
        await logs.append(log_id, "stdout", 0, bytes([byte]), number)
    await logs.append(log_id, "stderr", 0, b"\xff", 9)
    await logs.append(log_id, "system", 0, b"note", 9)
    output = await shown(logs, log_id, truncated=False)
    assert (output.stdout, output.stderr) == ("ü", "\ufffd")
    await logs.close(log_id)
