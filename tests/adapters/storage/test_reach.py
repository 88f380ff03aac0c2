"""What is certain not to heal is told apart from what may, and no password is repeated."""

import psycopg
import pytest

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.reach import final, place_of
from skep.kernel.errors import InvalidError, UnavailableError
from skep.testing.postgres import with_database


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h/db",
        "hunter2",
        "postgresql://u:hunter2%zz@h/db",
        "postgresql://u:hunter2/w@h/db",
        "postgresql://u:hunter2@h:99999/db",
        "postgresql://u:hunter2@h/db?colour=blue",
    ],
)
def test_a_malformed_address_is_refused_without_repeating_it(url, tmp_path):
    """The setting is named, and how it is written; the text itself may hold a password."""
    with pytest.raises(InvalidError) as refused:
        place_of(url, tmp_path / "skep.db")
    said = f"{refused.value} {refused.value.hint}"
    assert "SKEP_DATABASE_URL" in said
    assert "postgresql://user:password@host" in said
    assert "hunter2" not in said


def test_a_good_address_is_taken(tmp_path):
    """A URL of PostgreSQL, with a socket's folder or several hosts; without a URL it is the file."""
    file = tmp_path / "skep.db"
    for url in ("postgresql://u:p%40@h:5432/db", "postgresql://u@/db?host=/run/pg", "postgres://h1:1,h2:2/db"):
        assert place_of(url, file) == url
    assert place_of(None, file) == file


async def _first_error(place):
    async with SqlDatabase.open(place) as db:
        with pytest.raises(UnavailableError) as away:
            await db.migrate()
    return away.value


async def test_a_database_or_user_that_is_not_there_is_certain(pg_databases):
    """PostgreSQL itself says so; the operator is told what it said, which setting it is, and what to do."""
    with pg_databases.empty() as url:
        unknown = url.replace("postgres@", "nobody_here@")
        for place, words in ((with_database(url, "nowhere"), "nowhere"), (unknown, "nobody_here")):
            refusal = final("postgresql", await _first_error(place))
            assert refusal is not None
            assert (refusal.code, words in refusal.message) == ("database_refused", True)
            assert "SKEP_DATABASE_URL" in refusal.hint


@pytest.mark.parametrize(
    "said",
    [
        'connection failed: FATAL:  password authentication failed for user "skep"',
        "connection failed: fe_sendauth: no password supplied",
        'connection failed: FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "skep", no encryption',
        'connection is bad: invalid sslmode value: "sometimes"',
    ],
)
def test_a_refusal_is_certain(said):
    """What PostgreSQL and its library say when the next try will be told the same."""
    error = UnavailableError("away", code="database_unavailable")
    error.__cause__ = psycopg.OperationalError(said)
    assert final("postgresql", error) is not None


async def test_a_database_that_is_not_up_yet_may_come(tmp_path):
    """A closed port, a missing socket, a server that recovers, a name that does not resolve: waiting may help."""
    for place in ("postgresql://u@127.0.0.1:1/db", f"postgresql://u@/db?host={tmp_path}"):
        assert final("postgresql", await _first_error(place)) is None
    for said in ("FATAL:  the database system is starting up", "[Errno -2] Name or service not known"):
        error = UnavailableError("away", code="database_unavailable")
        error.__cause__ = psycopg.OperationalError(said)
        assert final("postgresql", error) is None


def test_a_broken_file_is_certain():
    """An SQLite file that is busy, or whose disk is full, may be fine later; a broken one will not."""
    assert final("sqlite", UnavailableError("busy", code="database_busy")) is None
    assert final("sqlite", UnavailableError("full", code="disk_full")) is None
    assert final("sqlite", UnavailableError("malformed", code="database_unavailable")) is not None
