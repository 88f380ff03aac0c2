"""Brings a database's tables to this version's form, in one transaction, one server at a time.

Alembic is imported only where there is something to migrate: it takes a tenth of a server's start, and 10 MB.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from skep.adapters.storage.dialect import Dialect
from skep.adapters.storage.errors import translated
from skep.adapters.storage.tables import SCHEMA
from skep.kernel.errors import ConflictError

_FOLDER = Path(__file__).parent / "migrations"
#: Any number, the same in all versions: the lock under which PostgreSQL lets one server migrate.
_LOCK = 0x536B6570


def migrate(engine: Engine, dialect: Dialect) -> None:
    """Run all migrations that are missing; all of them are committed, or none."""
    with translated(), engine.connect() as connection:
        if _is_current(connection):
            return
        if dialect == "postgresql":
            _take_turn(connection)
        # SQLite needs no more: this transaction begins with the write lock (BEGIN IMMEDIATE).
        with connection.begin():
            if dialect == "postgresql":
                connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            _upgrade(connection)


def head() -> str:
    """Return the newest migration: the files are named by their number, which is the revision."""
    return max(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))


def _is_current(connection: Connection) -> bool:
    with connection.begin():
        if not inspect(connection).has_table("alembic_version"):
            return False
        return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars()) == [head()]


def _take_turn(connection: Connection) -> None:
    """Wait until no other server migrates. The lock is the session's, and goes when the connection is closed.

    It is taken in a transaction of its own: the one that migrates must begin after the other's end, to see it.
    """
    with connection.begin():
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  see above
    from alembic.util.exc import CommandError  # noqa: PLC0415

    try:
        command.upgrade(config(connection), "head")
    except CommandError as exc:
        raise ConflictError(
            f"the tables are not those of this version or an older one: {exc}",
            code="database_newer",
            hint="Start the newer version of Skep, or restore the backup that was made before it ran.",
        ) from exc


def config(connection: Connection) -> Any:
    """Return Alembic's `Config` for working on *connection*."""
    from alembic.config import Config  # noqa: PLC0415  see above

    made = Config()
    made.set_main_option("script_location", str(_FOLDER))
    made.attributes["connection"] = connection
    return made
