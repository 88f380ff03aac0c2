"""Files that a dead supervisor left: read as far as they make sense, in bounded memory."""

import io
import json
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from skep.adapters.supervisor.spool import read_exit, read_records
from skep.product.sandboxes.model import ExitReason, Stream
from skep_supervisor import protocol


def record(stream, at_ms, data):
    """Return a record's bytes."""
    return struct.pack(protocol.RECORD, stream, at_ms, len(data)) + data


RECORDS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1 << 40), st.binary(max_size=300)), max_size=30)


@settings(deadline=None)
@given(RECORDS, st.data())
def test_reading_may_stop_and_go_on_anywhere(records, data):
    """From every record's end exactly the rest is read; a torn last record is left out."""
    spool = b"".join(record(*fields) for fields in records)
    whole = list(read_records(io.BytesIO(spool)))

    assert [(chunk.at_ms, chunk.data) for chunk in whole] == [fields[1:] for fields in records]
    if whole:
        index = data.draw(st.integers(0, len(whole) - 1))
        assert list(read_records(io.BytesIO(spool), whole[index].next_offset)) == whole[index + 1 :]
        cut = data.draw(st.integers(len(spool) - len(records[-1][2]) - 13, len(spool) - 1))
        assert list(read_records(io.BytesIO(spool[:cut]))) == whole[:-1]


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_read_without_harm(garbage):
    """Whatever the file holds, reading ends, and what was whole before it is given."""
    chunks = list(read_records(io.BytesIO(record(1, 5, b"good") + garbage)))

    assert chunks[0].data == b"good"
    assert all(chunk.stream in Stream for chunk in chunks)
    assert read_exit(io.BytesIO(garbage)) is None


def test_a_file_that_is_larger_than_memory_is_read_in_pieces():
    """Only one block is held at a time, however much follows."""

    class Endless(io.RawIOBase):
        def __init__(self):
            self.most = 0

        def seek(self, *_):
            return 0

        def read(self, size=-1):
            self.most = max(self.most, size)
            return (record(1, 1, b"x" * 1011) * 64)[:size]

    file = Endless()
    chunks = read_records(file)
    for _ in range(5000):
        next(chunks)
    assert file.most <= 1 << 16


def test_an_exit_is_read():
    """What the supervisor writes, padded, is an exit; anything too large, torn or odd is none."""
    state = {"reason": "timed_out", "code": None, "signal": 9, "duration_s": 2.5, "truncated": True, "message": ""}
    text = json.dumps(state).encode()

    exit_ = read_exit(io.BytesIO(text + b" " * 1000))

    assert exit_ is not None
    assert (exit_.reason, exit_.signal, exit_.duration_s, exit_.truncated) == (ExitReason.TIMED_OUT, 9, 2.5, True)
    for odd in (b"", b" " * 4096, text[:-5], text + b" " * 20_000, b"[" * 10_000, json.dumps({"reason": 1}).encode()):
        assert read_exit(io.BytesIO(odd)) is None
