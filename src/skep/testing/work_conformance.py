"""What every work store must do, whatever the database.

A test module derives a class from `WorkConformance`; the fixtures `db` and `stores` say over what it runs.
"""

import pytest

from skep.adapters.storage.stores import Stores
from skep.kernel.database import Database
from skep.testing.work_claims_conformance import ClaimConformance, LimitConformance
from skep.testing.work_desk import WorkDesk
from skep.testing.work_leases_conformance import EndConformance, LeaseConformance
from skep.testing.work_rest_conformance import RestConformance


class WorkConformance(ClaimConformance, LimitConformance, LeaseConformance, EndConformance, RestConformance):
    """Claims, limits, leases, ends, and rest."""

    @pytest.fixture
    def desk(self, db: Database, stores: Stores) -> WorkDesk:
        """The store under test."""
        return WorkDesk(db, stores.work)
