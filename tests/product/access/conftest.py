"""The access service over a real database of each kind, and a clock that the test moves."""

import pytest

from skep.kernel.ids import IdSource
from skep.product.access.service import AccessService


@pytest.fixture
def make_access(db, stores, clock):
    """Makes an access service, as another process would have one."""
    return lambda: AccessService(db, stores.access, stores.audit, clock, IdSource())


@pytest.fixture
def access(make_access):
    """The access service."""
    return make_access()
