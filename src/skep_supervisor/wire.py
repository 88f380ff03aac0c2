"""Frames and their JSON, as `protocol` has them; it opens nothing and knows no request.

`json` and `struct` are not imported: together they take as long to load as everything else here.
"""

from _json import encode_basestring_ascii, make_scanner  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]  # isort: skip

from skep_supervisor import protocol

_PREFIX = 8
_RECORD_PREFIX = 13


class ProtocolError(Exception):
    """What was received is no frame of the protocol: the connection must be closed."""


class _Context:
    """What the scanner of CPython's `json` wants to know."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012  the scanner's own; it clears it itself


_scan = make_scanner(_Context())  # pyright: ignore  # noqa: PGH003  the stub wants itself


def loads(text: str) -> object:
    """Return the value of a JSON text that is all of *text*.

    Raises:
        ProtocolError: it is none.
    """
    try:
        value, end = _scan(text, 0)
    except (ValueError, StopIteration, RecursionError, SystemError) as error:
        # SystemError: until Python 3.12 the scanner has no exception to raise unless `json.decoder` is loaded.
        raise ProtocolError("no JSON") from error
    if end != len(text):
        raise ProtocolError("something follows the JSON")
    return value  # pyright: ignore[reportUnknownVariableType]


def dumps(value: object) -> str:
    """Return *value*, made of dicts, lists, strings, numbers, booleans and None, as ASCII JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return encode_basestring_ascii(value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        items: list[object] = value  # pyright: ignore[reportUnknownVariableType]
        return "[" + ",".join([dumps(item) for item in items]) + "]"
    if isinstance(value, dict):
        members: dict[str, object] = value  # pyright: ignore[reportUnknownVariableType]
        return "{" + ",".join([dumps(key) + ":" + dumps(item) for key, item in members.items()]) + "}"
    raise TypeError(f"{type(value)} has no JSON here")


def encode(header: dict[str, object], payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    text = dumps(header).encode("ascii")
    return len(text).to_bytes(4, "big") + len(payload).to_bytes(4, "big") + text + payload


def record(stream: int, at_ms: int, size: int) -> bytes:
    """Return the head of a spool record whose *size* bytes follow."""
    return bytes((stream,)) + at_ms.to_bytes(8, "big") + size.to_bytes(4, "big")


class FrameBuffer:
    """Holds received bytes until they make a whole frame; never more than the largest frame and one read."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what was received."""
        self._data += data

    def missing(self) -> int:
        """Return how many bytes the next step wants: of the prefix, or of the rest; 0 if a frame is whole.

        Raises:
            ProtocolError: the frame is larger than the protocol allows.
        """
        have = len(self._data)
        if have < _PREFIX:
            return _PREFIX - have
        header = int.from_bytes(self._data[:4], "big")
        payload = int.from_bytes(self._data[4:8], "big")
        if header > protocol.MAX_HEADER or payload > protocol.MAX_PAYLOAD:
            raise ProtocolError("the frame is too large")
        return max(0, _PREFIX + header + payload - have)

    def take(self) -> tuple[dict[str, object], bytes] | None:
        """Return the next whole frame, if there is one.

        Raises:
            ProtocolError: this is no frame.
        """
        if self.missing():
            return None
        start = _PREFIX + int.from_bytes(self._data[:4], "big")
        end = start + int.from_bytes(self._data[4:8], "big")
        try:
            header = loads(self._data[_PREFIX:start].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ProtocolError("no UTF-8") from error
        if not isinstance(header, dict):
            raise ProtocolError("no object")
        payload = bytes(self._data[start:end])
        del self._data[:end]
        return header, payload  # pyright: ignore[reportUnknownVariableType]
