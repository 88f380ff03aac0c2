"""A real database (SQLite), a clock that the test moves, and the access service over both."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import Stores, make_stores
from skep.kernel.clock import to_ms
from skep.kernel.ids import IdSource
from skep.product.access.service import AccessService


@dataclass
class MovedClock:
    """Stands still until it is moved."""

    at: datetime = field(default=datetime(2026, 1, 1, tzinfo=UTC))
    seconds: float = 0.0

    def now(self) -> datetime:
        """Return where it stands."""
        return self.at

    def monotonic(self) -> float:
        """Return the seconds it was moved."""
        return self.seconds

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


@pytest.fixture
def clock():
    """A clock that the test moves."""
    return MovedClock()


@pytest.fixture
async def db(tmp_path: Path):
    """A fresh SQLite database."""
    async with SqlDatabase.open(tmp_path / "skep.db") as database:
        await database.migrate()
        yield database


@pytest.fixture
def stores(db: SqlDatabase, clock: MovedClock) -> Stores:
    """The stores of the database."""
    return make_stores(db.dialect, lambda: to_ms(clock.now()))


@pytest.fixture
def make_access(db: SqlDatabase, stores: Stores, clock: MovedClock):
    """Makes an access service, as another process would have one."""
    return lambda: AccessService(db, stores.access, stores.audit, clock, IdSource())


@pytest.fixture
def access(make_access):
    """The access service."""
    return make_access()
