"""The format of a log file: frames, one after the other.

    u8 stream | u64 time (ms since 1970) | u64 source offset | u32 length | bytes      (big endian)

A log that is closed ends with a frame of stream 255. A stream of 0 is what a disk shows for a block that
was promised and never written: everything from there on is torn.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from skep.kernel.errors import InvalidError
from skep.product.blobs.model import LogPosition

HEADER = struct.Struct("!BQQI")
#: Nothing in a file can make a reader take more than this at once.
MAX_DATA = 1 << 20
TORN = 0
END = 255
STREAMS = {"stdout": 1, "stderr": 2, "system": 3}
NAMES = {number: name for name, number in STREAMS.items()}


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a frame, and where the frame lies."""

    stream: int
    at_ms: int
    source_offset: int
    length: int
    offset: int

    @property
    def next_offset(self) -> int:
        """Where the frame after this one starts."""
        return self.offset + HEADER.size + self.length


def pack(stream: int, at_ms: int, source_offset: int, data: bytes) -> bytes:
    """Return the bytes of one frame."""
    return HEADER.pack(stream, at_ms, source_offset, len(data)) + data


def unpack(raw: bytes, offset: int) -> Header | None:
    """Read the header at *offset*; None where the log ends, whole or torn.

    Raises:
        InvalidError: this is no header, so *offset* was no frame's.
    """
    if len(raw) < HEADER.size:
        return None
    header = Header(*HEADER.unpack_from(raw), offset=offset)
    if header.stream == TORN:
        return None
    if (header.stream not in NAMES and header.stream != END) or header.length > MAX_DATA:
        raise InvalidError("This is no offset that the log gave out.", code="bad_offset")
    return header


def headers(descriptor: int) -> Iterator[Header]:
    """Walk the whole frames of a file from its start; stops where it is torn or makes no sense."""
    size = os.fstat(descriptor).st_size
    offset = 0
    while True:
        try:
            header = unpack(os.pread(descriptor, HEADER.size, offset), offset)
        except InvalidError:
            return
        if header is None or header.next_offset > size:
            return
        yield header
        offset = header.next_offset


def scan(descriptor: int) -> LogPosition:
    """Return where the log in a file ends."""
    end = source_offset = 0
    closed = False
    for header in headers(descriptor):
        end, source_offset, closed = header.next_offset, header.source_offset, header.stream == END
    return LogPosition(end=end, source_offset=source_offset, closed=closed)


def ends_closed(descriptor: int, offset: int) -> bool:
    """Tell whether *offset* lies behind the end frame of a closed log; that frame has no data."""
    size = os.fstat(descriptor).st_size
    if offset < size or size < HEADER.size:
        return False
    stream, _, _, length = HEADER.unpack(os.pread(descriptor, HEADER.size, size - HEADER.size))
    return stream == END and length == 0
