"""How connections to the two databases are made."""

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event

from skep.adapters.storage.dialect import Dialect
from skep.adapters.storage.tables import SCHEMA

_BUSY_MS = 10_000
#: A server that hangs inside a transaction must not hold up the others for ever.
_IDLE_MS = 15_000
_CONNECT_S = 5
_POSTGRESQL_SETTINGS = (
    sql.SQL("SET search_path = {}").format(sql.Identifier(SCHEMA)),
    sql.SQL("SET idle_in_transaction_session_timeout = {}").format(_IDLE_MS),
    sql.SQL("SET lock_timeout = {}").format(_BUSY_MS),
)
READERS = 4


def dialect_of(place: str | Path) -> Dialect:
    """Tell which database *place* means: a postgresql:// URL, or the path of an SQLite file."""
    return "postgresql" if isinstance(place, str) and place.startswith(("postgresql://", "postgres://")) else "sqlite"


def make_engine(place: str | Path, *, readonly: bool) -> Engine:
    """Make the engine of the writer, or of the readers, whose transactions cannot change anything."""
    pool: dict[str, Any] = (
        {"poolclass": QueuePool, "pool_size": READERS, "max_overflow": 0} if readonly else {"poolclass": NullPool}
    )
    if dialect_of(place) == "postgresql":
        return create_engine("postgresql+psycopg://", creator=lambda: _postgresql(str(place), readonly), **pool)
    path = Path(str(place).removeprefix("sqlite:///"))
    engine = create_engine("sqlite://", creator=lambda: _sqlite(path, readonly), **pool)
    begin = "BEGIN" if readonly else "BEGIN IMMEDIATE"

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", on_begin)
    return engine


def _sqlite(path: Path, readonly: bool) -> sqlite3.Connection:
    # isolation_level None: Python's driver starts no transaction of its own; `on_begin` does.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA query_only = {'ON' if readonly else 'OFF'}")
    except BaseException:
        connection.close()
        raise
    return connection


def _postgresql(url: str, readonly: bool) -> psycopg.Connection[Any]:
    connection = psycopg.connect(url, connect_timeout=_CONNECT_S, application_name="skep", autocommit=True)
    try:
        for setting in _POSTGRESQL_SETTINGS:
            connection.execute(setting)
        connection.autocommit = False
        # Writers see what SQLite's one writer would see; a clash between two servers is run again.
        connection.isolation_level = (
            psycopg.IsolationLevel.REPEATABLE_READ if readonly else psycopg.IsolationLevel.SERIALIZABLE
        )
        connection.read_only = readonly
    except BaseException:
        connection.close()
        raise
    return connection
