"""What the operator decides about agents, read once."""

from skep.kernel.settings import Settings
from skep.product.agents.model import AgentLimits


def agent_limits(settings: Settings) -> AgentLimits:
    """Return the part of *settings* that agents need."""
    return AgentLimits(
        max_cpus=settings.max_cpus,
        max_memory_mb=settings.max_memory_mb,
        max_disk_mb=settings.max_disk_mb,
        max_timeout_s=settings.max_timeout_s,
    )
