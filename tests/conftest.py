"""What all tests share: databases of both kinds, a clock, ids, a hub; and whether sandboxes can be made here."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.engine import make_engine
from skep.adapters.storage.migrate import migrate
from skep.adapters.storage.stores import make_stores
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.testing.clock import ManualClock
from skep.testing.postgres import databases_for_tests

pytest_plugins = ("conformance",)

# Who starts the tests in the background of a script has them ignore Ctrl-C, and so would the commands that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clock():
    """A clock that stands still until the test moves it."""
    return ManualClock()


@pytest.fixture
def ids():
    """A source of ids."""
    return IdSource()


@pytest.fixture
async def hub():
    """A hub bound to the test's loop."""
    made = Hub()
    made.bind(asyncio.get_running_loop())
    return made


@pytest.fixture(scope="session")
def pg_databases():
    """Databases on one PostgreSQL, which is started when the first test needs it."""
    with databases_for_tests() as databases:
        yield databases


@pytest.fixture
def pg_url(pg_databases):
    """The URL of a fresh, migrated PostgreSQL database."""
    with pg_databases.copy() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "skep.db"
    engine = make_engine(path, readonly=False)
    migrate(engine, "sqlite")
    engine.dispose()
    return path


@pytest.fixture
def sqlite_path(sqlite_template, tmp_path):
    """The path of a fresh, migrated SQLite database."""
    path: Path = tmp_path / "skep.db"
    path.write_bytes(sqlite_template.read_bytes())
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
async def db(request):
    """A fresh, migrated, open database of each kind."""
    place = request.getfixturevalue("sqlite_path" if request.param == "sqlite" else "pg_url")
    async with SqlDatabase.open(place) as database:
        yield database


@pytest.fixture
def stores(db, clock):
    """The stores for `db`; work on SQLite goes by `clock`."""
    return make_stores(db.dialect, clock.now_ms)


@pytest.fixture(scope="session")
def able():
    """Skip where sandboxes cannot be made; in CI that is a failure."""
    if os.geteuid() == 0 and shutil.which("runc", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"):
        return
    if os.environ.get("CI"):  # noqa: TID251  how CI says so
        pytest.fail("these tests need root and runc")
    pytest.skip("needs root and runc")
