"""What databases say, in the words of `kernel.errors`."""

import re
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from skep.kernel.errors import ConflictError, InvalidError, SkepError, UnavailableError

#: Constraints with a meaning to callers: what PostgreSQL calls it, what SQLite says of it, code, message.
_MEANINGS = (
    ("uq_agents_living_name", "agents.project_id, agents.name", "name_taken", "an agent of this name is there already"),
    (
        "uq_agents_owned_title",
        "agents.project_id, agents.owner, agents.title",
        "title_taken",
        "an agent of this owner and title is there already",
    ),
    ("uq_projects_name", "projects.name", "name_taken", "a project of this name is there already"),
)
_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (.*)")

#: SQLite's results after which nothing of the transaction can be relied on: BUSY, NOMEM, IOERR, CORRUPT, FULL,
#: CANTOPEN, PROTOCOL. The code's low byte; the rest says more.
_SQLITE_FATAL = frozenset({5, 7, 10, 11, 13, 14, 15})
_SQLITE_BUSY, _SQLITE_FULL = 5, 13

#: PostgreSQL's states: 40 the transaction was rolled back (serialization, deadlock), 53 out of resources.
_RETRYABLE = ("40001", "40P01")
#: After these the connection is gone: 08 connection exceptions, 57P the server shuts down, 25P03 and 25P04 a
#: transaction was idle, or went on, for longer than the server allows.
_AWAY = ("08", "57P", "25P03", "25P04")


#: What the drivers raise, wrapped by SQLAlchemy or bare.
DRIVER_ERRORS = (SQLAlchemyError, sqlite3.Error, psycopg.Error)


def driver_error(exc: BaseException | None) -> BaseException | None:
    """Return the driver's own error that *exc* wraps or came from, if there is one."""
    while exc is not None:
        if isinstance(exc, (sqlite3.Error, psycopg.Error)):
            return exc
        exc = exc.orig if isinstance(exc, DBAPIError) else exc.__cause__
    return None


def is_conflict(exc: BaseException) -> bool:
    """Tell whether another server's transaction was in the way: running it again will help."""
    error = driver_error(exc)
    return isinstance(error, psycopg.Error) and error.sqlstate in _RETRYABLE


def is_away(exc: BaseException) -> bool:
    """Tell whether the connection to the database is broken or cannot be made."""
    error = driver_error(exc)
    if not isinstance(error, psycopg.Error):
        return False
    if not error.sqlstate:
        # libpq itself lost the connection.
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return error.sqlstate.startswith(_AWAY)


def ruins_batch(exc: BaseException) -> bool:
    """Tell whether *exc* took the whole transaction with it, savepoints included."""
    error = driver_error(exc)
    if isinstance(error, sqlite3.Error):
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_FATAL
    return error is not None and (is_conflict(exc) or is_away(exc))


@contextmanager
def translated() -> Generator[None]:
    """Raise what the database says as one of Skep's errors."""
    try:
        yield
    except DRIVER_ERRORS as exc:
        raise translate(exc) from exc


def translate(exc: Exception) -> SkepError:
    """Return the Skep error that says the same as *exc*."""
    if isinstance(exc, SkepError):
        return exc
    error = driver_error(exc)
    if isinstance(exc, IntegrityError):
        return _constraint(error)
    if isinstance(error, sqlite3.Error):
        return _sqlite(error)
    if isinstance(error, psycopg.Error):
        return _postgresql(error, exc)
    return SkepError(f"the database refused a statement: {exc}")


def _constraint(error: BaseException | None) -> SkepError:
    said = str(error)
    if isinstance(error, psycopg.Error):
        name = error.diag.constraint_name or ""
    else:
        found = _SQLITE_UNIQUE.search(said)
        name = found.group(1) if found else said
    for in_postgresql, in_sqlite, code, message in _MEANINGS:
        if name in (in_postgresql, in_sqlite):
            return ConflictError(message, code=code, hint="Choose another name.")
    if "FOREIGN KEY" in said or "foreign key" in said:
        return ConflictError("what this belongs to is not there", code="reference_missing")
    return ConflictError("this is there already", code="conflict")


def _sqlite(error: sqlite3.Error) -> SkepError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == _SQLITE_FULL:
        return UnavailableError(
            "the data folder's disk is full", code="disk_full", hint="Free space; nothing has to be restarted."
        )
    if code == _SQLITE_BUSY:
        return UnavailableError("the database is busy", code="database_busy", retry_after_s=1.0)
    if isinstance(error, (sqlite3.DataError, sqlite3.ProgrammingError)):
        return _unholdable(error)
    return unavailable(error)


def _postgresql(error: psycopg.Error, exc: Exception) -> SkepError:
    if is_conflict(exc):
        return UnavailableError("the database is busy", code="database_busy", retry_after_s=1.0)
    if (error.sqlstate or "") == "53100":
        return UnavailableError("the database's disk is full", code="disk_full", hint="Free space on its machine.")
    if isinstance(error, psycopg.DataError):
        return _unholdable(error)
    if is_away(exc) or isinstance(error, psycopg.OperationalError):
        return unavailable(error)
    return SkepError(f"the database refused a statement: {error}")


def unavailable(error: BaseException) -> UnavailableError:
    """Return the error for a database that cannot be reached."""
    return UnavailableError(
        "the database is not available",
        code="database_unavailable",
        hint="Skep goes on by itself as soon as the database answers.",
        retry_after_s=1.0,
        inside=str(error).strip(),
    )


def _unholdable(error: BaseException) -> InvalidError:
    return InvalidError("the database cannot hold this value", inside=str(error).strip())
