"""The links of a page in HTML, read in time that grows with the page and not with its square. Pure.

A lexer, not a parser: whatever begins ends, at the latest with the page, so that nothing is looked at a second time.
`html.parser` reads a page of `<a ` or `<!--` once for each of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from itertools import islice
from typing import Any

import re2 as re2_untyped  # pyright: ignore[reportMissingTypeStubs]

from skep.kernel.errors import InvalidError

#: Of one tag with all its attributes; a longer one is no link of an index.
_MAX_TAG = 16 * 1024
_MAX_ATTRIBUTES = 32
#: Tags of one page, of whatever kind: a line of an index has a link and a break.
_MAX_TAGS = 4 * 100_000
#: Of one page; the largest project of the public index has some ten thousand files.
MAX_LINKS = 100_000

_re2: Any = re2_untyped
_VALUE = r"""(?:"[^"]*(?:"|\z)|'[^']*(?:'|\z)|[^\s>"'][^\s>]*)"""
_ATTRIBUTES = rf"(?:[^\s/>=]+(?:\s*=\s*{_VALUE})?|[\s/=])*(?:>|\z)"
#: Comments, what is no HTML although it looks so, and tags: each is taken from its beginning to its end.
_PIECES: Any = _re2.compile(
    r"(?is)<!--.*?(?:-->|\z)"
    rf"|<script(?:[\s/]{_ATTRIBUTES}|>).*?(?:</script|\z)"
    rf"|<style(?:[\s/]{_ATTRIBUTES}|>).*?(?:</style|\z)"
    rf"|<[a-z][^\s/>]*{_ATTRIBUTES}"
)
_TAG = re.compile(rb"<(a|base)[\s/]", re.IGNORECASE)
#: Never goes back (`++`): a tag is read once, too.
_ATTRIBUTE = re.compile(
    rb"""([^\s/>=]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"'][^\s>]*+)))?""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What a page leads to."""

    #: What links are relative to, "" if the page does not say it.
    base: str
    #: The attributes of each: names in lower case, values as they are meant.
    found: list[dict[str, str]]


def links(page: str) -> Links:
    """Return the links of *page*, in their order.

    Raises:
        InvalidError: it has too many.
    """
    base, found = "", list[dict[str, str]]()
    for name, attributes in _tags(page.encode("utf-8", "replace")):
        if name == "base":
            base = base or attributes.get("href", "")
        elif "href" in attributes:
            found.append(attributes)
            if len(found) > MAX_LINKS:
                raise InvalidError(f"The index' page has more than {MAX_LINKS} links.", code="index_page_invalid")
    return Links(base=base, found=found)


def _tags(page: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    for number, piece in enumerate(_PIECES.finditer(page)):
        if number == _MAX_TAGS:
            raise InvalidError(f"The index' page has more than {_MAX_TAGS} tags.", code="index_page_invalid")
        start, end = piece.span()
        tag = _TAG.match(page, start, end)
        if tag is not None and end - start <= _MAX_TAG and page[end - 1 : end] == b">":
            yield tag[1].decode("ascii").lower(), _attributes(page[tag.end() : end])


def _attributes(text: bytes) -> dict[str, str]:
    """Return the attributes; of two of one name the first is meant (HTML 13.2.5.33)."""
    found: dict[str, str] = {}
    for match in islice(_ATTRIBUTE.finditer(text), _MAX_ATTRIBUTES):
        name, *values = (part.decode("utf-8", "replace") for part in match.groups(b""))
        found.setdefault(name.lower(), unescape("".join(values)))
    return found
