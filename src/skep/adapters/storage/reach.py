"""Whether a database can be reached by what the operator wrote, and if not, whether waiting may help."""

import re
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from skep.adapters.storage.dialect import Dialect
from skep.adapters.storage.engine import dialect_of
from skep.adapters.storage.errors import driver_error
from skep.kernel.errors import InvalidError, SkepError, UnavailableError

_FORM = "postgresql://user:password@host:5432/name"
_SETTING = "SKEP_DATABASE_URL"

#: What PostgreSQL or its library says when the next try will be told the same. They give no code with it: a
#: connection that is not made has no result to carry one. Said in another language it is taken for a passing trouble.
_CERTAIN = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (r"authentication failed|no password supplied", "Put user and password that PostgreSQL accepts into it."),
        (
            r"role .* (does not exist|is not permitted to log in)",
            "Make the user (CREATE ROLE ... LOGIN), or name another.",
        ),
        (r"database .* does not exist", "Make the database (CREATE DATABASE ...), or name another."),
        (
            r"permission denied for database",
            "Let the user connect (GRANT CONNECT, CREATE ON DATABASE ...), or name another.",
        ),
        (r"no pg_hba\.conf entry", "Let this machine's user in by a line in pg_hba.conf of PostgreSQL."),
        (r"invalid \w+ value|invalid port number", "Correct that part of it."),
        (
            r"server does not support SSL|certificate verify failed|root certificate file",
            "Correct its sslmode and sslrootcert.",
        ),
    )
)


def place_of(url: str | None, file: Path) -> str | Path:
    """Return where the database is: the *url* of a PostgreSQL, or without one the *file* of SQLite.

    Raises:
        InvalidError: it is no such URL. The text is not repeated: it may hold a password.
    """
    if url is None:
        return file
    if dialect_of(url) != "postgresql":
        raise _malformed("it does not begin with postgresql://")
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # The words of the library quote the part that it did not understand.
        raise _malformed("it cannot be taken apart") from None
    ports = str(parts.get("port") or "").split(",")
    if not all(port == "" or (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16) for port in ports):
        raise _malformed("its port is no number from 1 to 65535")
    return url


def _malformed(why: str) -> InvalidError:
    return InvalidError(
        f"{_SETTING} is no address of a PostgreSQL database: {why}.",
        code="database_url",
        hint=f"Write it as {_FORM}; in user and password write @ as %40, / as %2F, : as %3A, % as %25. "
        "Unset it to use SQLite.",
    )


def final(dialect: Dialect, error: UnavailableError) -> SkepError | None:
    """Return what to say when waiting cannot help against *error*, which the first transaction met; else None."""
    if dialect == "sqlite":
        return None if error.code in ("database_busy", "disk_full") else error
    said = " ".join(str(driver_error(error) or "").split())
    for pattern, hint in _CERTAIN:
        if pattern.search(said):
            return UnavailableError(
                f"The database refuses Skep: {said}",
                code="database_refused",
                hint=f"{_SETTING} says which database, and as whom. {hint} Then start Skep again.",
            )
    return None
