"""Heads of HTTP/1.1 messages, parsed strictly (RFC 9112): what is not plainly right is refused, never repaired."""

import re
from dataclasses import dataclass

from skep.kernel.errors import SkepError
from skep.product.gateway.policy import split_target

MAX_HEAD = 32 * 1024
MAX_HEADERS = 100

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_LENGTH = re.compile(rb"[0-9]{1,15}")

#: Meant for the next hop only (RFC 9110, 7.6.1), besides what `Connection` names.
_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"te",
     b"trailer", b"upgrade", b"http2-settings"}
)  # fmt: skip

#: What a client in the sandbox may call the door, on its port 80.
_OWN = frozenset({"127.0.0.1", "localhost"})

Headers = tuple[tuple[bytes, bytes], ...]


class BadHeadError(SkepError):
    """The head is no HTTP/1.1 that this proxy understands."""

    code = "bad_request"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """A request's first lines."""

    method: bytes
    #: As it was sent: host:port for CONNECT, else an absolute URL.
    target: bytes
    headers: Headers
    version: bytes = b"HTTP/1.1"

    def get(self, name: bytes) -> bytes | None:
        """Return the value of the header *name* (lower case), or None."""
        return _get(self.headers, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHead:
    """A response's first lines."""

    status: int
    status_line: bytes
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How long a body is: a number of bytes, in chunks, or up to the end of the connection."""

    length: int | None = None
    chunked: bool = False


def parse_request(data: bytes) -> RequestHead:
    """Read a request head, the empty line at its end included.

    Raises:
        BadHeadError: it is not well formed.
    """
    first, headers = _split(data)
    parts = first.split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadHeadError("The request line is not METHOD TARGET HTTP/1.1.")
    method, target, version = parts
    if not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(target):
        raise BadHeadError("The request line has odd characters.")
    if sum(name == b"host" for name, _ in headers) > 1:
        raise BadHeadError("There is more than one Host.")
    return RequestHead(method=method, target=target, headers=headers, version=version)


def parse_response(data: bytes) -> ResponseHead:
    """Read a response head, the empty line at its end included.

    Raises:
        BadHeadError: it is not well formed.
    """
    first, headers = _split(data)
    match = _STATUS.fullmatch(first)
    if match is None:
        raise BadHeadError("The answer is not HTTP/1.1.")
    return ResponseHead(status=int(match[1]), status_line=first, headers=headers)


def connect_target(head: RequestHead) -> tuple[str, int]:
    """Return host and port that a CONNECT asks for."""
    return split_target(head.target.decode("ascii"))


def own_target(head: RequestHead) -> bytes | None:
    """Return the path that is asked of the door itself; None: the request is to be passed on.

    Raises:
        BadHeadError: a fragment is not sent to a server.
        InvalidError: the host is odd.
    """
    if head.method == b"CONNECT":
        return None
    if head.target.startswith(b"/"):
        if b"#" in head.target:
            raise BadHeadError("A fragment is not sent to a server.")
        return head.target
    host, port, path = absolute_target(head)
    return path if port == 80 and host in _OWN else None


def absolute_target(head: RequestHead) -> tuple[str, int, bytes]:
    """Return host, port and origin-form path of a request for `http://...`.

    Raises:
        BadHeadError: it asks for something else.
        InvalidError: the host is odd.
    """
    prefix = b"http://"
    if head.target[: len(prefix)].lower() != prefix:
        raise BadHeadError("This is a proxy: it takes CONNECT host:port and http:// addresses.")
    rest = head.target[len(prefix) :]
    match = re.search(rb"[/?#]", rest)
    authority, path = (rest[: match.start()], rest[match.start() :]) if match else (rest, b"/")
    if b"#" in path:
        raise BadHeadError("A fragment is not sent to a server.")
    host, port = split_target(authority.decode("ascii"), 80)
    return host, port, path if path.startswith(b"/") else b"/" + path


def forwarded_request(head: RequestHead, host: str, port: int, path: bytes) -> bytes:
    """Return the head to send on: origin form, one Host, nothing that was meant for this hop."""
    authority = f"[{host}]" if ":" in host else host
    if port != 80:
        authority += f":{port}"
    lines = [head.method + b" " + path + b" HTTP/1.1", b"Host: " + authority.encode("ascii")]
    lines += [name + b": " + value for name, value in _end_to_end(head.headers) if name != b"host"]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


def forwarded_response(head: ResponseHead) -> bytes:
    """Return the head to give back, without what was meant for this hop."""
    lines = [head.status_line] + [name + b": " + value for name, value in _end_to_end(head.headers)]
    if head.status >= 200:
        lines.append(b"Connection: close")
    return b"\r\n".join([*lines, b"", b""])


def request_framing(head: RequestHead) -> Framing:
    """Say how long the request's body is (RFC 9112, 6.3).

    Raises:
        BadHeadError: two ways to read it are two ways to be deceived.
    """
    framing = _framing(head.headers)
    return framing if framing is not None else Framing(length=0)


def response_framing(head: ResponseHead, method: bytes) -> Framing:
    """Say how long the response's body is (RFC 9112, 6.3)."""
    if method == b"HEAD" or head.status in (204, 304):
        return Framing(length=0)
    framing = _framing(head.headers)
    return framing if framing is not None else Framing()


def _framing(headers: Headers) -> Framing | None:
    coding, length = _get(headers, b"transfer-encoding"), _get(headers, b"content-length")
    if sum(name in (b"transfer-encoding", b"content-length") for name, _ in headers) > 1:
        raise BadHeadError("The length of the body is given more than once.")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise BadHeadError("Only the transfer coding `chunked` is understood.")
        return Framing(chunked=True)
    if length is None:
        return None
    if not _LENGTH.fullmatch(length):
        raise BadHeadError("Content-Length is not a number.")
    return Framing(length=int(length))


def _split(data: bytes) -> tuple[bytes, Headers]:
    lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if len(lines) - 1 > MAX_HEADERS:
        raise BadHeadError(f"There are more than {MAX_HEADERS} headers.")
    headers: list[tuple[bytes, bytes]] = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadHeadError("A header is not NAME: VALUE.")
        headers.append((name.lower(), value.strip(b" \t")))
    return lines[0], tuple(headers)


def _end_to_end(headers: Headers) -> Headers:
    named = {part.strip().lower() for name, value in headers if name == b"connection" for part in value.split(b",")} - {
        b"host",
        b"content-length",
        b"transfer-encoding",
    }
    return tuple((name, value) for name, value in headers if name not in _HOP and name not in named)


def _get(headers: Headers, name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)
