"""Listings are paged by key: a page, and a cursor that says where the next one starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """What part of a listing is asked for."""

    #: At most this many items, 1 to `MAX_LIMIT`.
    limit: int = 50
    #: `Page.next` of the page before; opaque to callers, the last item's id to stores.
    cursor: str | None = None
    #: Only items in one of these states.
    status: tuple[str, ...] = ()
    #: Only items made at or after / before this time, ms since 1970.
    since_ms: int | None = None
    until_ms: int | None = None
    #: Only items whose name, title or id contains this text.
    q: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items, and the cursor of the next page, or None at the end."""

    items: Sequence[T]
    next: str | None = None
