"""What the supervisor says, turned into the product's words; all of it is untrusted."""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from skep.kernel.errors import (
    ForbiddenError,
    InvalidError,
    NotFoundError,
    SkepError,
    TooLargeError,
    UnavailableError,
)
from skep.product.sandboxes.model import Exit, ExitReason, FileEntry, OutputChunk, Stream
from skep_supervisor import protocol

RECORD = struct.Struct(protocol.RECORD)
#: The last millisecond of the year 9999: no later time can be written as a date.
MAX_TIME_MS = 253_402_300_799_999
MAX_MESSAGE = 1000
#: Linux's longest path, and one more name: what lies too deep to be reached is named all the same.
MAX_PATH = 4096 + 256

_STREAMS = {protocol.STDOUT: Stream.STDOUT, protocol.STDERR: Stream.STDERR, protocol.NOTE: Stream.SYSTEM}
_ERRORS: Mapping[str, type[SkepError]] = {
    "bad_request": InvalidError,
    "not_found": NotFoundError,
    "too_large": TooLargeError,
    "not_started": ForbiddenError,
    "no_space": TooLargeError,
    "denied": ForbiddenError,
    "internal": UnavailableError,
}


class SupervisorGone(UnavailableError):  # noqa: N818  the name says what happened, as the product speaks of it
    """Nobody answers, or what answers does not keep to the protocol."""

    code = "supervisor_gone"


def plain(text: object) -> str:
    """Return *text* as a bounded line without control characters."""
    if not isinstance(text, str):
        return ""
    clean = text[:MAX_MESSAGE].encode("utf-8", "replace").decode("utf-8")
    return "".join(sign if sign.isprintable() else " " for sign in clean)


def error_of(code: object, message: object) -> SkepError:
    """Return the error that an answer's `error` and `message` stand for."""
    if not isinstance(code, str) or code not in _ERRORS:
        return SupervisorGone("the supervisor answered with an error that is not in the protocol")
    return _ERRORS[code](plain(message) or code, code=f"sandbox_{code}")


def exit_of(state: object) -> Exit:
    """Return how a command ended from its final STATE.

    Raises:
        SupervisorGone: it is no final STATE.
    """
    if not isinstance(state, dict):
        raise SupervisorGone("the supervisor told a command's state in another shape than the protocol's")
    values: dict[str, Any] = state  # pyright: ignore[reportUnknownVariableType]
    reason = values.get("reason")
    if reason not in protocol.REASONS:
        raise SupervisorGone("the supervisor told a reason that is not in the protocol")
    return Exit(
        reason=ExitReason(reason),
        code=_number(values.get("code"), 0, 255),
        signal=_number(values.get("signal"), 1, 64),
        duration_s=_seconds(values.get("duration_s")),
        truncated=values.get("truncated") is True,
        message=plain(values.get("message")),
    )


def entries_of(items: object) -> list[FileEntry]:
    """Return a part of a listing.

    Raises:
        SupervisorGone: it is no list of `[path, size, mode, kind]` with clean relative paths.
    """
    if not isinstance(items, list):
        raise SupervisorGone("the supervisor listed files in another shape than the protocol's")
    return [_entry(item) for item in items]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


class RecordReader:
    """Cuts spool bytes, which come in any pieces, into chunks of output."""

    def __init__(self, offset: int) -> None:
        self._pending = bytearray()
        self._offset = offset

    @property
    def offset(self) -> int:
        """Spool offset of the first byte that no chunk has covered."""
        return self._offset

    def feed(self, data: bytes) -> Iterator[OutputChunk]:
        """Take more bytes; yield each record that is whole now.

        Raises:
            SupervisorGone: this is no record.
        """
        self._pending += data
        start = 0
        try:
            while len(self._pending) - start >= RECORD.size:
                stream, at_ms, length = RECORD.unpack_from(self._pending, start)
                if stream not in _STREAMS or length > protocol.MAX_RECORD:
                    raise SupervisorGone("the spool holds something that is no record")
                end = start + RECORD.size + length
                if end > len(self._pending):
                    break
                payload = bytes(self._pending[start + RECORD.size : end])
                self._offset += end - start
                start = end
                yield OutputChunk(
                    stream=_STREAMS[stream],
                    at_ms=min(at_ms, MAX_TIME_MS),
                    data=payload,
                    next_offset=self._offset,
                )
        finally:
            del self._pending[:start]


def _entry(item: object) -> FileEntry:
    match item:
        case [str(path), int(size), int(mode), str(kind)] if _clean(path) and size >= 0 and 0 <= mode <= 0o7777:
            # A name that is no UTF-8 is shown with replacement signs; it cannot be fetched.
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            return FileEntry(path=shown, size=size, mode=mode, is_dir=kind == "d", is_link=kind == "l")
        case _:
            raise SupervisorGone("the supervisor listed a file that cannot be")


def _clean(path: str) -> bool:
    parts = path.split("/")
    return len(path) <= MAX_PATH and "\0" not in path and not any(part in ("", ".", "..") for part in parts)


def _number(value: object, lowest: int, highest: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
        return value
    return None


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return float(value)
    return 0.0
