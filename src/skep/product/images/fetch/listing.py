"""What a source holds: asked of a program inside the sandbox, and read with suspicion. Pure."""

import json
import re
from collections.abc import Sequence
from importlib.resources import files as package_files
from typing import Any, cast

from skep.kernel.errors import InvalidError
from skep.product.images.fetch.inside import MAX_FILES, MAX_LOCK_TEXT, MAX_TEXTS
from skep.product.images.model import SourceListing

PROGRAM = "/tmp/skep-inside.py"  # noqa: S108  paths inside a sandbox of our own
ARCHIVE = "/tmp/skep-upload"  # noqa: S108
ANSWER = "/tmp/skep-listing.json"  # noqa: S108
MAX_ANSWER = 32 * 1024 * 1024

_PYTHON = ("/usr/bin/python3", "-I", "-S", PROGRAM)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}\.[0-9]{1,3}")
_MAX_PATH = 4096
_MAX_SIZE = 1 << 50


def program(name: str = "inside") -> bytes:
    """Return the text of a program that is put into the sandbox."""
    return package_files("skep.product.images.fetch").joinpath(f"{name}.py").read_bytes()


def unpack(folder: str, target: str, limit: int) -> tuple[str, ...]:
    """Return the command that unpacks the upload."""
    return (*_PYTHON, "unpack", ARCHIVE, folder, target, str(limit))


def list_source(target: str, limit: int, patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the command that writes the listing to `ANSWER`."""
    return (*_PYTHON, "list", target, ANSWER, str(limit), *sorted(set(patterns)))


def parse(answer: bytes) -> tuple[SourceListing, str]:
    """Read the program's answer: the listing, and the version of the sandbox's Python.

    Raises:
        InvalidError: it is not what the program writes; something in the sandbox meddled with it.
    """
    try:
        value: Any = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise _odd("it is no JSON") from error
    if not isinstance(value, dict):
        raise _odd("it is no object")
    fields = cast("dict[str, Any]", value)
    digest, python = fields.get("digest"), fields.get("python")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise _odd("it has no digest")
    if not isinstance(python, str) or not _VERSION.fullmatch(python):
        raise _odd("it has no version of Python")
    listing = SourceListing(
        files=_sizes(fields.get("files")),
        texts=_texts(fields.get("texts"), MAX_LOCK_TEXT, None),
        hashes=_texts(fields.get("hashes"), 64, _DIGEST),
        digest=digest,
        pointers=_names(fields.get("pointers", [])),
    )
    return listing, python


def _sizes(value: Any) -> dict[str, int]:
    sizes = _table(value, MAX_FILES)
    if not all(type(size) is int and 0 <= size <= _MAX_SIZE for size in sizes.values()):
        raise _odd("a size is no number")
    return cast("dict[str, int]", sizes)


def _names(value: Any) -> tuple[str, ...]:
    names = cast("list[Any]", value) if isinstance(value, list) else [""]
    if len(names) > MAX_TEXTS or not all(isinstance(name, str) and 0 < len(name) <= _MAX_PATH for name in names):
        raise _odd("a name is none")
    return tuple(cast("list[str]", names))


def _texts(value: Any, limit: int, pattern: re.Pattern[str] | None) -> dict[str, str]:
    texts = _table(value, MAX_TEXTS)
    for text in texts.values():
        if not isinstance(text, str) or len(text) > limit or (pattern is not None and not pattern.fullmatch(text)):
            raise _odd("a text is none")
    return cast("dict[str, str]", texts)


def _table(value: Any, limit: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _odd("a table is missing")
    table = cast("dict[str, Any]", value)
    if len(table) > limit or not all(0 < len(path) <= _MAX_PATH for path in table):
        raise _odd("a table is too long")
    return table


def _odd(why: str) -> InvalidError:
    return InvalidError(f"The listing of the source cannot be trusted: {why}.", code="listing_invalid")
