"""The few places where the two databases speak differently."""

from typing import Any, Literal

from sqlalchemy import JSON, Column, ColumnElement, Table, bindparam, cast, func, select
from sqlalchemy.dialects import postgresql, sqlite

#: SQLite 3.35 or later (RETURNING), PostgreSQL 14 or later.
Dialect = Literal["sqlite", "postgresql"]


def values_hold(dialect: Dialect, column: Column[str], wanted: str) -> ColumnElement[bool]:
    """Build the condition that a value (not a name) of the JSON object in *column* holds the text *wanted*."""
    if dialect == "sqlite":
        each = func.json_each(column)
    else:
        # PostgreSQL has no text with NUL or half a surrogate pair: one such value would have it refuse the search.
        # What stands there instead must be an escape as well: the backslash may itself be escaped by one before it.
        held = func.regexp_replace(column, r"\\u(0000|d[89a-f][0-9a-f]{2})", r"\\n", "g")
        each = func.json_each_text(cast(held, JSON))
    values = each.table_valued("key", "value")
    return select(values.c.value).where(values.c.value.icontains(wanted, autoescape=True)).exists()


def insert_new(dialect: Dialect, table: Table, **computed: Any) -> Any:
    """Build an INSERT of all columns that leaves a row that is there already, and then counts 0 rows.

    *computed*: expressions for columns that the caller does not bind.
    """
    values: dict[str, Any] = {column.name: bindparam(column.name) for column in table.columns}
    values.update(computed)
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    return insert.values(values).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
