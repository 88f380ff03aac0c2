"""The hashes that a requirements.txt names itself: who writes them means them; uv's resolver passes over them. Pure."""

import re

from packaging.utils import canonicalize_name

from skep.kernel.errors import InvalidError
from skep.product.images.planning.pylock import Lock

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HASH = re.compile(r"--hash[= ]sha256:([0-9a-fA-F]{64})\b")


def check(requirements: str, lock: Lock) -> None:
    """Raise `InvalidError(code="hash_mismatch")` if *lock* has a file that *requirements* pins to another content."""
    pinned = _pinned(requirements)
    files = {one.name: (one.version, frozenset({one.file.sha256})) for one in lock.wheels}
    files |= {one.name: ("", frozenset(_HASH.findall(one.requirement))) for one in lock.sources if one.hashed}
    for name, hashes in pinned.items():
        version, found = files.get(name, ("", frozenset[str]()))
        if found and not found & hashes:
            raise InvalidError(
                f"requirements.txt pins {f'{name} {version}'.strip()} to other contents than the index has: "
                f"the file there has sha256:{next(iter(found))}.",
                code="hash_mismatch",
                hint="Pin again (`uv pip compile --generate-hashes`); if nobody changed the pins, distrust the index.",
            )


def _pinned(requirements: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in requirements.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        if "--hash" in line.partition("#")[0] and (match := _NAME.match(line.strip())):
            hashes = frozenset(digest.lower() for digest in _HASH.findall(line))
            name = str(canonicalize_name(match[0]))
            found[name] = found.get(name, frozenset()) | hashes
    return {name: hashes for name, hashes in found.items() if hashes}
