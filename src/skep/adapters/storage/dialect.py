"""The few places where the two databases speak differently."""

from typing import Any, Literal

from sqlalchemy import Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite

#: SQLite 3.35 or later (RETURNING), PostgreSQL 14 or later.
Dialect = Literal["sqlite", "postgresql"]


def insert_new(dialect: Dialect, table: Table, **computed: Any) -> Any:
    """Build an INSERT of all columns that leaves a row that is there already, and then counts 0 rows.

    *computed*: expressions for columns that the caller does not bind.
    """
    values: dict[str, Any] = {column.name: bindparam(column.name) for column in table.columns}
    values.update(computed)
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    return insert.values(values).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
