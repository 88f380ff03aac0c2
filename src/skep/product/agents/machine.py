"""What an agent's state is, from what is stored."""

from skep.product.agents.model import Agent, AgentStatus
from skep.product.images.model import Build, BuildStatus


def status(agent: Agent, latest_build: Build | None) -> AgentStatus:
    """Derive the agent's status from its version and its latest build."""
    if agent.version_id is not None:
        return AgentStatus.READY
    if latest_build is None:
        return AgentStatus.NEW
    match latest_build.status:
        case BuildStatus.QUEUED | BuildStatus.RUNNING:
            return AgentStatus.BUILDING
        case BuildStatus.CANCELLED:
            return AgentStatus.NEW
        case BuildStatus.FAILED | BuildStatus.SUCCEEDED:
            return AgentStatus.BROKEN
