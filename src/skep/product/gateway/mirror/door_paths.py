"""How a file of an index is called at the door, there and back. Pure; the one place that knows the form.

    /pypi/files/SHA256[.SHA256 of its metadata][~SEAL]/SCHEME/HOST[:PORT]/PATH[?QUERY]
    /npm/-/files/SHA512[~SEAL]/SCHEME/HOST[:PORT]/PATH[?QUERY]

An unknown digest is written as `-`. The seal (`seals`) says that an index named the file. A door's address never holds
user and password.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from skep.kernel.errors import InvalidError
from skep.product.gateway.policy import split_target

_PORTS = {"http": 80, "https": 443}
_MAX_URL = 4096
_PLAIN = re.compile(r"[\x21-\x7e]*")
#: Quoted as it is: what a path may hold besides letters and digits (RFC 3986, 3.3), and what is quoted already.
_SAFE = "/!$&'()*+,;=:@-._~%"
_FILES = re.compile(r"/?(?:pypi|npm/-)/files/(?P<rest>.+)")
_DOOR = re.compile(r"http://(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?(?P<path>/.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a file lies: the parts of a URL, normalised, without user and password."""

    scheme: str
    host: str
    port: int
    #: With the leading slash and the query, percent-encoded.
    path: str

    @property
    def authority(self) -> str:
        """Return host, and port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the address."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return what a credential belongs to."""
        return self.scheme, self.host, self.port


def place_of(url: str) -> Place:
    """Read an http(s) URL; user, password and fragment are dropped.

    Raises:
        InvalidError: it is none, or its host is odd.
    """
    if len(url) > _MAX_URL:
        raise InvalidError("The address is too long.", code="address_invalid")
    try:
        parts = urlsplit(url.strip())
        scheme, netloc = parts.scheme.lower(), parts.netloc.rpartition("@")[2]
        host, port = split_target(netloc, _PORTS.get(scheme))
    except ValueError as error:
        raise InvalidError("It is no address.", code="address_invalid") from error
    if scheme not in _PORTS:
        raise InvalidError("Only http:// and https:// addresses can be fetched.", code="address_invalid")
    path = quote(parts.path, safe=_SAFE) or "/"
    query = quote(parts.query, safe=_SAFE + "?")
    return Place(scheme=scheme, host=host, port=port, path=path + (f"?{query}" if query else ""))


def file_path(digests: str, place: Place, seal: str = "") -> str:
    """Return what follows `files/` in the address of a file at the door."""
    mark = f"~{seal}" if seal else ""
    return f"{digests or '-'}{mark}/{place.scheme}/{quote(place.authority, safe=':.')}{place.path}"


def parse_file_path(rest: str) -> tuple[str, Place]:
    """Read what follows `files/`: the digests and the seal as they stand there ("" for none), and where the file lies.

    Raises:
        InvalidError: it is not of that form.
    """
    parts = rest.split("/", 3)
    if len(parts) != 4 or not _PLAIN.fullmatch(rest):
        raise InvalidError("It is not files/DIGEST/SCHEME/HOST/PATH.", code="address_invalid")
    digests, scheme, authority, path = parts
    return "" if digests == "-" else digests, place_of(f"{scheme}://{unquote(authority)}/{path}")


def upstream(url: str) -> str:
    """Return the index' own address of a file that *url* names at a door; any other address as it is."""
    at_door = _DOOR.fullmatch(url)
    file = _FILES.fullmatch(at_door["path"]) if at_door else None
    if file is None:
        return url
    try:
        return parse_file_path(file["rest"])[1].url
    except InvalidError:
        return url
