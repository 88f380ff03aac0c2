"""The hashes that a project names itself: who writes them means them; uv's resolver passes over them. Pure."""

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.utils import canonicalize_name

from skep.kernel.errors import InvalidError
from skep.product.images.planning import uv_locks
from skep.product.images.planning.pylock import Lock

#: Name -> SHA-256 of the files that it may be.
Pins = Mapping[str, frozenset[str]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HASH = re.compile(r"--hash[= ]sha256:([0-9a-fA-F]{64})\b")
_INCLUDE = re.compile(r"(?:-[rc]|--(?:requirement|constraint))(?:[=\s]\s*|(?<=-[rc]))(\S+)\s*")


def reached(texts: Mapping[str, str], first: Iterable[str]) -> dict[str, str]:
    """Return the files of requirements that *first* lead to by -r and -c, as far as there is a text of them.

    Args:
        texts: path in the source -> what is in it.
        first: paths of those that are read themselves.
    """
    found: dict[str, str] = {}
    waiting = [*first]
    while waiting:
        path = waiting.pop()
        if path in texts and path not in found:
            found[path] = texts[path]
            waiting += included(texts[path], path)
    return found


def included(text: str, name: str) -> list[str]:
    """Return the files of the source that the requirements *text*, in the file *name*, leads to by -r and -c."""
    found: list[str] = []
    for line in _lines(text):
        if (match := _INCLUDE.fullmatch(line)) is None:
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[1]))
        if "://" not in match[1] and not path.startswith(("/", "../")):
            found.append(path)
    return found


def of_requirements(texts: Mapping[str, str]) -> Pins:
    """Return what files of requirements pin.

    Raises:
        InvalidError: `hash_unsupported`: by another hash than SHA-256 alone.
    """
    found: dict[str, frozenset[str]] = {}
    for path, text in texts.items():
        for line in _lines(text):
            if "--hash" not in line or (match := _NAME.match(line)) is None:
                continue
            hashes = frozenset(digest.lower() for digest in _HASH.findall(line))
            if not hashes:
                raise InvalidError(
                    f"{path} pins {match[0]} by another hash than SHA-256, which cannot be checked.",
                    code="hash_unsupported",
                    hint="Pin it by SHA-256, as `uv pip compile --generate-hashes` does.",
                )
            name = str(canonicalize_name(match[0]))
            found[name] = found.get(name, frozenset()) | hashes
    return found


def of_uv_lock(lock: Mapping[str, Any]) -> Pins:
    """Return what a uv.lock pins."""
    found: dict[str, frozenset[str]] = {}
    for name, hashes in uv_locks.hashes(lock):
        found[name] = found.get(name, frozenset()) | hashes
    return found


def check(pins: Pins, lock: Lock, *, by: str) -> None:
    """Raise `InvalidError(code="hash_mismatch")` if *lock* has a file that *pins*, of the file *by*, does not allow."""
    files = {one.name: (one.version, frozenset({one.file.sha256})) for one in lock.wheels}
    files |= {one.name: ("", frozenset(_HASH.findall(one.requirement))) for one in lock.sources if one.hashed}
    for name, hashes in pins.items():
        version, found = files.get(name, ("", frozenset[str]()))
        if found and not found & hashes:
            raise InvalidError(
                f"{by} pins {f'{name} {version}'.strip()} to other contents than the index has: "
                f"the file there has sha256:{next(iter(found))}.",
                code="hash_mismatch",
                hint="Pin again (`uv pip compile --generate-hashes`); if nobody changed the pins, distrust the index.",
            )


def _lines(text: str) -> list[str]:
    """Return the lines of a file of requirements, each whole and without its comment."""
    whole = text.replace("\\\r\n", " ").replace("\\\n", " ")
    return [line.partition(" #")[0].strip() for line in whole.splitlines() if not line.lstrip().startswith("#")]
