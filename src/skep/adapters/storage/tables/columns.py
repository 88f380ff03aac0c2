"""What all tables are made of: columns that mean the same everywhere, and partial indexes."""

from typing import Any

import sqlalchemy
from sqlalchemy import BigInteger, Column, ForeignKey, Index, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import TEXT

SCHEMA = "skep"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

TEXT_TYPE = Text().with_variant(TEXT(collation="C"), "postgresql")
#: The condition of a partial index that several tables have.
ENDED = "ended_ms IS NOT NULL"


def identity() -> Column[str]:
    """Make the column of an id."""
    return Column("id", TEXT_TYPE, primary_key=True)


def text(name: str, *, nullable: bool = False) -> Column[str]:
    """Make a column of text that compares by its bytes."""
    return Column(name, TEXT_TYPE, nullable=nullable)


def json(name: str, *, nullable: bool = False) -> Column[str]:
    """Make a column of JSON text: nothing is asked of it in SQL, and text keeps every value as it was."""
    return Column(name, TEXT_TYPE, nullable=nullable, info={"json": True})


def ms(name: str, *, nullable: bool = False) -> Column[int]:
    """Make a column of a time, or of a duration, in milliseconds."""
    return Column(name, BigInteger, nullable=nullable)


def child_of(column: str, parent: str, *, primary_key: bool = False) -> Column[str]:
    """Make a column that holds the id of a row of *parent* ("agents.id")."""
    return Column(column, TEXT_TYPE, ForeignKey(parent), nullable=False, primary_key=primary_key)


def partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Make an index over the rows for which *where* holds; a query must say it in the same words to use it."""
    condition = sqlalchemy.text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def table(name: str, *parts: Any) -> Table:
    """Make a table of Skep's."""
    return Table(name, metadata, *parts)
