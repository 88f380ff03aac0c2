"""A real database (SQLite), a key in a file, and the services of access and secrets over them."""

from pathlib import Path

import pytest

from skep.adapters.keys.sealer import KeyFileSealer
from skep.adapters.storage.database import SqlDatabase
from skep.kernel.ids import IdSource
from skep.kernel.log import Redactor
from skep.product.access.service import AccessService
from skep.product.secrets.service import SecretService


@pytest.fixture
async def db(sqlite_path):
    """A fresh SQLite database, whose file the tests look into."""
    async with SqlDatabase.open(sqlite_path) as database:
        yield database


@pytest.fixture
def make_access(db, stores, clock):
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
    token = await access.first_token(lambda _: None)
    return await access.authenticate(token.reveal())
