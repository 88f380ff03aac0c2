"""Brings a database's tables to this version's form, in one transaction, one server at a time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, text

from skep.adapters.storage.dialect import Dialect
from skep.adapters.storage.errors import translated
from skep.adapters.storage.tables import SCHEMA
from skep.kernel.errors import ConflictError

#: Any number, the same in all versions: the lock under which PostgreSQL lets one server migrate.
_LOCK = 0x536B6570


def migrate(engine: Engine, dialect: Dialect) -> None:
    """Run all migrations that are missing; all of them are committed, or none."""
    with translated(), engine.connect() as connection:
        if dialect == "postgresql":
            _take_turn(connection)
        # SQLite needs no more: this transaction begins with the write lock (BEGIN IMMEDIATE).
        with connection.begin():
            if dialect == "postgresql":
                connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            _upgrade(connection)


def _take_turn(connection: Connection) -> None:
    """Wait until no other server migrates. The lock is the session's, and goes when the connection is closed.

    It is taken in a transaction of its own: the one that migrates must begin after the other's end, to see it.
    """
    with connection.begin():
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})


def _upgrade(connection: Connection) -> None:
    try:
        command.upgrade(config(connection), "head")
    except CommandError as exc:
        raise ConflictError(
            f"the tables are not those of this version or an older one: {exc}",
            code="database_newer",
            hint="Start the newer version of Skep, or restore the backup that was made before it ran.",
        ) from exc


def config(connection: Connection) -> Config:
    """Return Alembic's configuration for working on *connection*."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    made.attributes["connection"] = connection
    return made
