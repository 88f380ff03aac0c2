"""Rows and dataclasses: a field is the column of the same name; a JSON column goes through the codec."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar, cast, get_type_hints

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    insert,
    or_,
    select,
    update,
)

from skep.adapters.storage.codec import Convert, decoder, encoder
from skep.kernel.database import Tx
from skep.kernel.errors import NotFoundError
from skep.kernel.paging import MAX_LIMIT, Page, PageQuery

T = TypeVar("T")


def on(tx: Tx) -> Connection:
    """Look inside an open transaction."""
    return cast("Connection", tx)


def dumps(value: Any) -> str:
    """Write JSON in its shortest form; pure ASCII, so that no text can be one that a database refuses."""
    return json.dumps(value, separators=(",", ":"))


class Mapper(Generic[T]):
    """Stores one kind of dataclass in one table; its statements are built once."""

    def __init__(self, table: Table, type_: type[T]) -> None:
        self.table = table
        self.type = type_
        hints = get_type_hints(type_)
        self._names = tuple(field.name for field in fields(cast("Any", type_)))
        columns = [table.c[name] for name in self._names]
        self._encoders = [_to_column(encoder(hints[c.name]), bool(c.info.get("json"))) for c in columns]
        self._decoders = [_from_column(decoder(hints[c.name]), bool(c.info.get("json"))) for c in columns]
        self.select = select(*columns)
        self._insert = insert(table).values({name: bindparam(name) for name in self._names})
        self._keys = tuple(column.name for column in table.primary_key.columns)
        self._update = self._build_update()
        self._by_id = self.by(*self._keys)

    def _build_update(self) -> Update:
        changed: dict[str, Any] = {name: bindparam(name) for name in self._names if name not in self._keys}
        return (
            update(self.table).values(changed).where(*(self.table.c[key] == bindparam(f"_{key}") for key in self._keys))
        )

    def by(self, *names: str) -> Select[Any]:
        """Build the query for the rows whose columns *names* have the values bound by those names."""
        return self.select.where(*(self.table.c[name] == bindparam(name) for name in names))

    def row(self, item: T) -> dict[str, Any]:
        """Return *item* as a row."""
        pairs = zip(self._names, self._encoders, strict=True)
        return {name: encode(getattr(item, name)) for name, encode in pairs}

    def item(self, row: Row[Any] | Sequence[Any]) -> T:
        """Return what *row*, selected by this mapper, stands for."""
        triples = zip(self._names, self._decoders, row, strict=True)
        return self.type(**{name: decode(value) for name, decode, value in triples})

    def insert(self, tx: Tx, item: T) -> None:
        """Add a row."""
        on(tx).execute(self._insert, self.row(item))

    def save(self, tx: Tx, item: T) -> None:
        """Replace the row of the same key; `NotFoundError` if there is none."""
        row = self.row(item)
        row.update({f"_{key}": row.pop(key) for key in self._keys})
        if on(tx).execute(self._update, row).rowcount != 1:
            raise NotFoundError(f"there is no row in {self.table.name} to be replaced")

    def get(self, tx: Tx, *key: Any) -> T | None:
        """Return the item of this primary key."""
        return self.first(tx, self._by_id, dict(zip(self._keys, key, strict=True)))

    def first(self, tx: Tx, query: Select[Any], values: Mapping[str, Any]) -> T | None:
        """Return the first item that *query* finds."""
        row = on(tx).execute(query, values).first()
        return None if row is None else self.item(row)

    def all(self, tx: Tx, query: Select[Any], values: Mapping[str, Any]) -> list[T]:
        """Return all items that *query* finds."""
        return [self.item(row) for row in on(tx).execute(query, values)]

    def page(
        self,
        tx: Tx,
        query: PageQuery,
        *where: ColumnElement[bool],
        newest_first: bool,
        time: str = "created_ms",
        status: str | None = None,
        search: Sequence[str] = ("id",),
        search_also: Callable[[str], ColumnElement[bool]] | None = None,
    ) -> Page[T]:
        """Return a page in the order of the ids; *time*, *status*, *search* name the columns that filters look at.

        *search_also* makes the condition for where else a text is looked for.
        """
        columns, limit = self.table.c, max(1, min(query.limit, MAX_LIMIT))
        statement = self.select.where(*where, *self._filters(query, time, status, search, search_also))
        if query.cursor is not None:
            statement = statement.where(columns.id < query.cursor if newest_first else columns.id > query.cursor)
        statement = statement.order_by(columns.id.desc() if newest_first else columns.id).limit(limit + 1)
        items = self.all(tx, statement, {})
        if len(items) <= limit:
            return Page(items=items)
        return Page(items=items[:limit], next=str(getattr(items[limit - 1], "id")))  # noqa: B009  T has an id

    def _filters(
        self,
        query: PageQuery,
        time: str,
        status: str | None,
        search: Sequence[str],
        search_also: Callable[[str], ColumnElement[bool]] | None,
    ) -> list[ColumnElement[bool]]:
        columns, found = self.table.c, list[ColumnElement[bool]]()
        if query.since_ms is not None:
            found.append(columns[time] >= query.since_ms)
        if query.until_ms is not None:
            found.append(columns[time] < query.until_ms)
        if status is not None and query.status:
            found.append(columns[status].in_(query.status))
        if query.q:
            places = [columns[name].icontains(query.q, autoescape=True) for name in search]
            found.append(or_(*places, search_also(query.q)) if search_also else or_(*places))
        return found


def _to_column(encode: Convert, is_json: bool) -> Convert:
    if not is_json:
        return encode
    return lambda value: None if value is None else dumps(encode(value))


def _from_column(decode: Convert, is_json: bool) -> Convert:
    if not is_json:
        return decode
    return lambda value: None if value is None else decode(json.loads(value))
