"""TOML from strangers: small, shallow, in time and memory that grow with the text and not with its square.

`tomllib` keeps every prefix of a dotted key: 200 KiB of `a.a.a...` take 40 GB.
"""

import tomllib
from typing import Any

import re2 as re2_untyped  # pyright: ignore[reportMissingTypeStubs]

#: Parts of one dotted key; what people write has about five.
MAX_PARTS = 32

_re2: Any = re2_untyped
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_LONG_KEY: Any = _re2.compile(f"(?:{_PART}){{{MAX_PARTS}}}")


class TomlError(ValueError):
    """The text is no TOML, or none that is taken from a stranger; the message says why."""


def loads(text: str, *, limit: int) -> dict[str, Any]:
    """Return the table that *text* is, of at most *limit* characters.

    Raises:
        TomlError: it is too large, too deep, or no TOML.
    """
    if len(text) > limit:
        raise TomlError(f"it has more than {limit} characters")
    if _LONG_KEY.search(text.encode("utf-8", "replace")):
        raise TomlError(f"a key has {MAX_PARTS} parts or more")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise TomlError("it is nested too deeply") from error
    except ValueError as error:  # also what is no TOML error: a number of thousands of digits
        raise TomlError(str(error)) from error
