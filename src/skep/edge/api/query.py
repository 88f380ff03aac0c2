"""Arguments that listings share."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Query

from skep.edge.wire import texts
from skep.kernel.clock import to_ms
from skep.kernel.errors import InvalidError
from skep.kernel.ids import is_id
from skep.kernel.paging import MAX_LIMIT, PageQuery

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="At most this many items.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]
Status = Annotated[
    list[str],
    Query(default_factory=list[str], max_length=20, description="Only items in this state; repeat it, or use commas."),
]
Moment = Annotated[datetime | None, Query(description="RFC 3339; without an offset it is UTC.")]
Owner = Annotated[
    str | None,
    Query(max_length=200, pattern=texts.ONE_LINE.pattern, description="Only what belongs to this owner's agents."),
]
Search = Annotated[
    str | None,
    Query(max_length=200, pattern=texts.ONE_LINE.pattern, description="Only items whose name or id has this text."),
]


def paging(states: type[StrEnum] | None = None) -> Any:
    """Return the dependency that reads limit, cursor, since, until, q and, with *states*, status."""
    return Depends(_with_status(states) if states else _page)


def not_our_cursor() -> InvalidError:
    """Return what is said to who sends another cursor than they were given."""
    return InvalidError("The cursor is not one of ours.", fields={"cursor": "use `next` of the page before"})


def _page(
    limit: Limit = 50, cursor: Cursor = None, since: Moment = None, until: Moment = None, q: Search = None
) -> PageQuery:
    if cursor is not None and not is_id(cursor):
        raise not_our_cursor()
    return PageQuery(limit=limit, cursor=cursor, since_ms=_ms(since), until_ms=_ms(until), q=q or None)


def _with_status(states: type[StrEnum]) -> Callable[..., PageQuery]:
    def page(
        status: Status,
        limit: Limit = 50,
        cursor: Cursor = None,
        since: Moment = None,
        until: Moment = None,
        q: Search = None,
    ) -> PageQuery:
        base = _page(limit, cursor, since, until, q)
        return PageQuery(
            limit=base.limit,
            cursor=base.cursor,
            status=_known(status, states),
            since_ms=base.since_ms,
            until_ms=base.until_ms,
            q=base.q,
        )

    return page


def _known(asked: Sequence[str], states: type[StrEnum]) -> tuple[str, ...]:
    words = tuple(word.strip() for text in asked for word in text.split(",") if word.strip())
    unknown = [word for word in words if word not in set(states)]
    if unknown:
        message = "one of " + ", ".join(states)
        raise InvalidError(f"There is no status {unknown[0][:50]!r}.", fields={"status": message})
    return words


def _ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
