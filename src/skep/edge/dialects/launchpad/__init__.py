"""Agent Launchpad's routes, as its clients know them; `docs/launchpad.md` says how they map."""

from skep.edge.dialects.launchpad.faults import ERRORS, Faults
from skep.edge.dialects.launchpad.routes import router

__all__ = ["ERRORS", "Faults", "router"]
