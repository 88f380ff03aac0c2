"""What a command printed and how it ended, read from the files that its supervisor left behind."""

import json
from collections.abc import Iterator
from typing import BinaryIO

from skep.adapters.supervisor.answers import RecordReader, SupervisorGone, exit_of
from skep.product.sandboxes.model import Exit, OutputChunk

_BLOCK = 1 << 16
_MAX_EXIT = 1 << 14


def read_records(file: BinaryIO, offset: int = 0) -> Iterator[OutputChunk]:
    """Yield the output in a spool file from *offset* on; it ends at the first thing that is no whole record.

    The file was written inside the sandbox: memory is bounded by one record, whatever it holds.
    """
    file.seek(offset)
    reader = RecordReader(offset)
    while block := file.read(_BLOCK):
        try:
            yield from reader.feed(block)
        except SupervisorGone:
            return


def read_exit(file: BinaryIO) -> Exit | None:
    """Return how a command ended from its `.exit` file, or None if that does not say it."""
    content = file.read(_MAX_EXIT + 1)
    if len(content) > _MAX_EXIT:
        return None
    try:
        return exit_of(json.loads(content))
    except (ValueError, RecursionError, SupervisorGone):
        return None
