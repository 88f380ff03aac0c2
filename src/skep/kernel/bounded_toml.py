"""TOML from strangers: small, shallow, in time and memory that grow with the text and not with its square.

`tomllib` keeps every prefix of a key, as dictionaries of its own: 200 KiB of `a.a.a...` take 40 GB, and 4 MB of headers
with thirty parts 1.8 GB. So the parts of keys are counted before it sees the text.
"""

import re
import tomllib
from typing import Any

import re2 as re2_untyped  # pyright: ignore[reportMissingTypeStubs]

#: Parts of one key or header; the longest that tools document has eight.
MAX_PARTS = 12
#: Parts of all keys and headers together, and the lists and inline tables; 4 MB of a lock have about half as many.
MAX_TOGETHER = 200_000

_re2: Any = re2_untyped
#: Texts and comments, as `tomllib` finds their ends. Possessive, and an end that is missing is the text's: no way back.
_SAID = re.compile(
    r"#[^\n]*+"
    r'|"""(?:[^"\\]++|\\[\s\S]|"(?!""))*+(?:"{3,5}|\\?\Z)'
    r"|'''(?:[^']++|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]++|\\.)*+"?'
    r"|'[^'\n]*+'?"
)
_PART = r"[A-Za-z0-9_-]+[ \t]*\.[ \t]*"
_LONG_KEY: Any = _re2.compile(f"(?:{_PART}){{{MAX_PARTS}}}")


class TomlError(ValueError):
    """The text is no TOML, or none that is taken from a stranger; the message says why."""


def loads(text: str, *, limit: int, together: int = MAX_TOGETHER) -> dict[str, Any]:
    """Return the table that *text* is, of at most *limit* characters.

    Args:
        text: the TOML.
        limit: the most characters that it may have.
        together: the most parts that its keys and headers may have together.

    Raises:
        TomlError: it is too large, too deep, or no TOML.
    """
    if len(text) > limit:
        raise TomlError(f"it has more than {limit} characters")
    bare = _SAID.sub("_", text)
    if _LONG_KEY.search(bare.encode("utf-8", "replace")):
        raise TomlError(f"a key has more than {MAX_PARTS} parts")
    # Each key has a sign of its end, each further part of one a dot, each header, list and inline table a bracket.
    if sum(map(bare.count, "=.[{")) > together:
        raise TomlError(f"its keys have more than {together} parts together")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise TomlError("it is nested too deeply") from error
    except ValueError as error:  # also what is no TOML error: a number of thousands of digits
        raise TomlError(str(error)) from error
