"""What every implementation of the stores must do, whatever the database.

A test module derives a class from `StoreConformance`; the fixtures `db` (a `Database`) and `stores` (with a store
per noun) say over what it runs.
"""

from skep.testing.layer_rows_conformance import LayerRowsConformance
from skep.testing.retention_conformance import RetentionConformance
from skep.testing.store_access_conformance import AccessConformance
from skep.testing.store_agents_conformance import AgentConformance
from skep.testing.store_places_conformance import PlaceConformance
from skep.testing.store_runs_conformance import RunConformance


class StoreConformance(
    AccessConformance, PlaceConformance, AgentConformance, RunConformance, LayerRowsConformance, RetentionConformance
):
    """All of it."""
