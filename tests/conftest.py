"""What all tests share: databases of both kinds, a clock, ids, a hub."""

import asyncio
from collections import Counter
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


# ---- both databases must have passed the same conformance tests
_CONFORMANCE = ("test_store_conformance.py", "test_work_conformance.py")
_passed = pytest.StashKey[Counter[str]]()
_counted = "conformance"


def pytest_configure(config):
    """Begin counting."""
    config.stash[_passed] = Counter()
    config.pluginmanager.register(_Counting(config))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Mark each conformance test that passed with its database."""
    report = yield
    if report.when == "call" and report.passed and item.path.name in _CONFORMANCE:
        report.user_properties.append((_counted, item.callspec.params["db"]))
    return report


class _Counting:
    """Counts the marked reports: here, or of those processes that run the tests side by side."""

    def __init__(self, config):
        self._counts = config.stash[_passed]

    def pytest_runtest_logreport(self, report):
        self._counts.update(
            value for name, value in report.user_properties if report.when == "call" and name == _counted
        )


def pytest_sessionfinish(session):
    """Fail when the counts differ, unless only one database was asked for."""
    counts = session.config.stash[_passed]
    one_of_several = hasattr(session.config, "workerinput")
    if not one_of_several and len(counts) > 1 and len(set(counts.values())) > 1:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    """Say the counts."""
    counts = config.stash[_passed]
    if counts:
        said = ", ".join(f"{name} {counts[name]}" for name in ("sqlite", "postgresql"))
        terminalreporter.write_line(f"store conformance: {said}", red=len(set(counts.values())) > 1)
