"""Keys of ssh servers: which ones are known from the start, how they are written and compared. Pure."""

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skep.kernel.errors import InvalidError

_SSH_PORT = 22
_TYPE = re.compile(r"[a-z0-9@.-]{3,64}")
_MAX_BLOB = 4096
_MARKERS = ("@cert-authority", "@revoked")
_HASHED = "|1|"
_SHOWN = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")

#: As the three publish them; `tests/product/images/test_host_keys.py` has the fingerprints that they publish.
_PUBLISHED: Mapping[str, tuple[str, ...]] = {
    "github.com": (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9"
            "nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
        ),
        (
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCj7ndNxQowgcQnjshcLrqPEiiphnt+VTTvDP6mHBL9j1aNUkY4Ue1gvwnGLVlO"
            "hGeYrnZaMgRK6+PKCUXaDbC7qtbW8gIkhL7aGCsOr/C56SJMy/BCZfxd1nWzAOxSDPgVsmerOBYfNqltV9/hWCqBywINIR+5dIg6"
            "JTJ72pcEpEjcYgXkE2YEFXV1JHnsKgbLWNlhScqb2UmyRkQyytRLtL+38TGxkxCflmO+5Z8CSSNY7GidjMIZ7Q4zMjA2n1nGrlTD"
            "kzwDCsw+wqFPGQA179cnfGWOWRVruj16z6XyvxvjJwbz0wQZ75XK5tKSb7FNyeIEs4TT4jk+S4dhPeAUC5y+bDYirYgM4GC7uEnz"
            "tnZyaVWQ7B381AK4Qdrwt51ZqExKbQpTUNn+EjqoTwvqNj4kqx5QUCI0ThS/YkOxJCXmPUWZbhjpCg56i+2aB6CmK2JGhn57K5mj"
            "0MNdBXA4/WnwH6XoPWJzK5Nyu2zB3nAZp+S5hpQs+p1vN1/wsjk="
        ),
    ),
    "gitlab.com": (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf",
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFSMqzJeV9rUzU4kWitGjeR4PWSa"
            "29SPqJ1fVkhtj3Hw9xjLVXVYrU9QlYWrOLXBpQ6KWjbjTDTdDkoohFzgbEY="
        ),
        (
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCsj2bNKTBSpIYDEGk9KxsGh3mySTRgMtXL583qmBpzeQ+jqCMRgBqB98u3z++J"
            "1sKlXHWfM9dyhSevkMwSbhoR8XIq/U0tCNyokEi/ueaBMCvbcTHhO7FcwzY92WK4Yt0aGROY5qX2UKSeOvuP4D6TPqKF1onrSzH9"
            "bx9XUf2lEdWT/ia1NEKjunUqu1xOB/StKDHMoX4/OKyIzuS0q/T1zOATthvasJFoPrAjkohTyaDUz2LN5JoH839hViyEG82yB+Mj"
            "cFV5MU3N1l1QL3cVUCh93xSaua1N85qivl+siMkPGbO5xR/En4iEY6K2XPASUEMaieWVNTRCtJ4S8H+9"
        ),
    ),
    "bitbucket.org": (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO",
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPIQmuzMBuKdWeF4+a2sjSSpBK0i"
            "qitSQ+5BM9KhpexuGt20JpTVM7u5BDZngncgrqDMbWdxMWWOGtZ9UgbqgZE="
        ),
        (
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDQeJzhupRu0u0cdegZIa8e86EG2qOCsIsD1Xw0xSeiPDlCr7kq97NLmMbpKTX6"
            "Esc30NuoqEEHCuc7yWtwp8dI76EEEB1VqY9QJq6vk+aySyboD5QF61I/1WeTwu+deCbgKMGbUijeXhtfbxSxm6JwGrXrhBdofTsb"
            "KRUsrN1WoNgUa8uqN1Vx6WAJw1JHPhglEGGHea6QICwJOAr/6mrui/oB7pkaWKHj3z7d1IC4KWLtY47elvjbaTlkN04Kc/5LFEir"
            "orGYVbt15kAUlqGM65pk6ZBxtaO3+30LVlORZkxOh+LKL/BvbZ/iRNhItLqNyieoQj/uh/7Iv4uyH/cV/0b4WDSd3DptigWq84lJ"
            "ubb9t/DnZlrJazxyDCulTmKdOR7vs9gMTo+uoIrPSb8ScTtvw65+odKAlBj59dhnVp9zd7QUojOpXlL62Aw56U4oO+FALuevvMji"
            "WeavKhJqlR7i5n9srYcrNV7ttmDw7kf/97P5zauIhxcjX+xHv4M="
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """A public key of a server, or of who signs those of servers."""

    #: "ssh-ed25519", ...
    type: str
    #: Base64, as in a known_hosts file.
    blob: str
    #: "", "@cert-authority" or "@revoked".
    marker: str = ""

    @property
    def text(self) -> str:
        """Type and key, as they are kept."""
        return f"{self.type} {self.blob}"

    @property
    def fingerprint(self) -> str:
        """What people compare: `SHA256:...`, as ssh-keygen shows it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line of the operator's file."""

    patterns: str
    key: HostKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHosts:
    """What is known of servers without having seen them: the operator's file goes over what is built in."""

    lines: tuple[_Line, ...] = ()

    def find(self, host: str, port: int) -> tuple[HostKey, ...]:
        """Return the keys of a server; () if nobody has said any."""
        name = shown_name(host, port)
        found = tuple(line.key for line in self.lines if _speaks_of(line.patterns, name))
        if any(key.marker != "@revoked" for key in found):
            return found
        built_in = _PUBLISHED.get(host, ()) if port == _SSH_PORT else ()
        return (*(parse_key(text) for text in built_in), *found) if built_in else found


def parse_key(text: str) -> HostKey:
    """Read `type base64`.

    Raises:
        InvalidError: it is no public key.
    """
    kind, _, blob = text.strip().partition(" ")
    blob = blob.split(" ", 1)[0]
    try:
        inside = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _odd("the key is no base64") from error
    size = int.from_bytes(inside[:4], "big")
    if not _TYPE.fullmatch(kind) or len(blob) > _MAX_BLOB or inside[4 : 4 + size] != kind.encode():
        raise _odd("the key is not of the type that it says")
    return HostKey(type=kind, blob=blob)


def parse_known_hosts(text: str) -> KnownHosts:
    """Read a known_hosts file (sshd(8)): patterns, hashed names, markers.

    Raises:
        InvalidError: a line is none; the message has its number.
    """
    lines: list[_Line] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        try:
            if marker and marker not in _MARKERS:
                raise _odd(f"{marker[:40]} is no marker")
            if len(words) < 3:
                raise _odd("it has not host, type and key")
            key = parse_key(f"{words[1]} {words[2]}")
        except InvalidError as error:
            raise InvalidError(
                f"Line {number} of the known hosts cannot be read: {error.message}",
                code="known_hosts_invalid",
                hint="SKEP_GIT_KNOWN_HOSTS names a file as ssh-keyscan writes it.",
            ) from error
        lines.append(_Line(patterns=words[0], key=HostKey(type=key.type, blob=key.blob, marker=marker)))
    return KnownHosts(lines=tuple(lines))


def shown_name(host: str, port: int) -> str:
    """Return how a known_hosts file names a server."""
    return host if port == _SSH_PORT else f"[{host}]:{port}"


def render(host: str, port: int, keys: Sequence[HostKey]) -> str:
    """Return the known_hosts file that knows this server only."""
    name = shown_name(host, port)
    return "".join(f"{key.marker} {name} {key.text}\n".lstrip() for key in keys)


def first_seen(text: str) -> HostKey | None:
    """Return the key in a file that ssh has written about one server; None if there is none. It is untrusted."""
    for line in text.splitlines()[:16]:
        words = line.split()
        if len(words) >= 3 and not line.startswith(("#", "@")):
            try:
                return parse_key(f"{words[1]} {words[2]}")
            except InvalidError:
                continue
    return None


def shown_fingerprint(words: str) -> str:
    """Return the fingerprint that ssh's *words* have, "" if none."""
    found = _SHOWN.search(words)
    return found[0] if found else ""


def _speaks_of(patterns: str, name: str) -> bool:
    if patterns.startswith(_HASHED):
        return _is_hash_of(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        refused = pattern.startswith("!")
        # Brackets stand for themselves here, unlike in a shell.
        plain = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name, plain):
            if refused:
                return False
            found = True
    return found


def _is_hash_of(text: str, name: str) -> bool:
    salt, _, digest = text.removeprefix(_HASHED).partition("|")
    try:
        made = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
        return hmac.compare_digest(made, base64.b64decode(digest))
    except (binascii.Error, ValueError):
        return False


def _odd(why: str) -> InvalidError:
    return InvalidError(f"{why}.", code="host_key_invalid")
