"""What the suites of the stores ask with."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from skep.kernel.database import Database, Tx
from skep.kernel.errors import ConflictError
from skep.kernel.paging import Page, PageQuery

T = TypeVar("T")

EVERYTHING = PageQuery()


async def refused(db: Database, code: str, work: Callable[[Tx], Any]) -> None:
    """Check that *work* is a conflict of this *code*, and leaves nothing behind."""
    with pytest.raises(ConflictError) as caught:
        await db.write(work)
    assert caught.value.code == code


async def walk(db: Database, list_: Callable[[Tx, PageQuery], Page[T]], query: PageQuery) -> list[T]:
    """Return all items of a listing, page by page."""
    found: list[T] = []
    while True:
        page = await db.read(lambda tx, query=query: list_(tx, query))
        assert len(page.items) <= query.limit
        found += page.items
        if page.next is None:
            return found
        query = replace(query, cursor=page.next)
