"""Agents and their versions."""

from collections.abc import AsyncIterator

from skep.edge.client.nouns import Noun
from skep.edge.client.transport import PREFIX
from skep.edge.wire.agents import AgentView, BuildAgent, ChangeAgent, CreateAgent, VersionView
from skep.edge.wire.builds import BuildView
from skep.edge.wire.repositories import WebhookCreated
from skep.edge.wire.sources import SourceBody


class Agents(Noun):
    """`/agents`; an agent is named by its id or its name."""

    async def create(self, agent: CreateAgent) -> AgentView:
        """Make an agent; it is built by `build`."""
        return await self._transport.call(AgentView, "POST", f"{PREFIX}/agents", body=agent, creates=True)

    async def get(self, agent: str) -> AgentView:
        """Return one agent."""
        return await self._transport.call(AgentView, "GET", f"{PREFIX}/agents/{agent}")

    def all(
        self, *, status: tuple[str, ...] = (), q: str | None = None, limit: int | None = None
    ) -> AsyncIterator[AgentView]:
        """Yield agents, newest first."""
        return self._pages(AgentView, "/agents", status=status, q=q, limit=limit)

    async def change(self, agent: str, change: ChangeAgent) -> AgentView:
        """Change what *change* names; configuration makes a new version of a built agent."""
        return await self._transport.call(AgentView, "PATCH", f"{PREFIX}/agents/{agent}", body=change)

    async def remove(self, agent: str) -> None:
        """Remove an agent; its runs stay to be read."""
        await self._transport.send("DELETE", f"{PREFIX}/agents/{agent}")

    async def webhook(self, agent: str) -> WebhookCreated:
        """Make the agent's webhook, or give it another secret; the secret is in this answer and nowhere else."""
        path = f"{PREFIX}/agents/{agent}/webhook"
        return await self._transport.call(WebhookCreated, "POST", path, creates=True)

    async def remove_webhook(self, agent: str) -> None:
        """Remove the agent's webhook."""
        await self._transport.send("DELETE", f"{PREFIX}/agents/{agent}/webhook")

    async def build(self, agent: str, source: SourceBody | None = None, *, upgrade: bool = False) -> BuildView:
        """Begin a build, of a new source if one is given; *upgrade* takes the newest packages that it allows."""
        wished = {"source": source, "upgrade": upgrade}
        body = BuildAgent.model_validate({key: value for key, value in wished.items() if value})
        return await self._transport.call(BuildView, "POST", f"{PREFIX}/agents/{agent}/build", body=body, creates=True)

    def builds(self, agent: str, *, status: tuple[str, ...] = (), limit: int | None = None) -> AsyncIterator[BuildView]:
        """Yield the builds of an agent, newest first."""
        return self._pages(BuildView, f"/agents/{agent}/builds", status=status, limit=limit)

    def versions(self, agent: str, *, limit: int | None = None) -> AsyncIterator[VersionView]:
        """Yield the versions of an agent, newest first."""
        return self._pages(VersionView, f"/agents/{agent}/versions", limit=limit)
