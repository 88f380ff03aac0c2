"""A real database (SQLite), a clock that the test moves, and the access service over both."""

from pathlib import Path

import pytest

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import Stores, make_stores
from skep.kernel.ids import IdSource
from skep.product.access.service import AccessService
from skep.testing.clock import ManualClock


@pytest.fixture
def clock():
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
async def db(tmp_path: Path):
    """A fresh SQLite database."""
    async with SqlDatabase.open(tmp_path / "skep.db") as database:
        await database.migrate()
        yield database


@pytest.fixture
def stores(db: SqlDatabase, clock: ManualClock) -> Stores:
    """The stores of the database."""
    return make_stores(db.dialect, clock.now_ms)


@pytest.fixture
def make_access(db: SqlDatabase, stores: Stores, clock: ManualClock):
    """Makes an access service, as another process would have one."""
    return lambda: AccessService(db, stores.access, stores.audit, clock, IdSource())


@pytest.fixture
def access(make_access):
    """The access service."""
    return make_access()
