"""A real database (SQLite), a key in a file, and the services of access and secrets over them."""

from pathlib import Path

import pytest

from skep.adapters.keys.sealer import KeyFileSealer
from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import Stores, make_stores
from skep.kernel.ids import IdSource
from skep.kernel.log import Redactor
from skep.product.access.service import AccessService
from skep.product.secrets.service import SecretService
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


@pytest.fixture
def sealer(tmp_path: Path):
    """A sealer with a fresh key."""
    return KeyFileSealer.at(tmp_path / "key")


@pytest.fixture
def redactor():
    """Keeps values out of the log."""
    return Redactor()


@pytest.fixture
def secrets(db, stores, sealer, access, clock, redactor):
    """The secret service."""
    return SecretService(db, stores.secrets, sealer, access, clock, IdSource(), redactor)


@pytest.fixture
async def admin(access):
    """The principal of the first token."""
    token = await access.first_token()
    return await access.authenticate(token.reveal())
