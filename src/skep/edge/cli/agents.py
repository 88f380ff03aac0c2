"""`skep agents`, `skep remove`."""

from typing import Annotated

import typer

from skep.edge.cli import options, screen, tables
from skep.edge.cli.options import Json, Limit
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.agents import AgentView
from skep.edge.wire.sources import SourceView

SOURCE = Column("source", folds=True, drops=True)


def agents(
    status: Annotated[list[str] | None, typer.Option(help="Only agents in this state.")] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List the agents."""

    async def act(client: SkepClient) -> list[AgentView]:
        return [agent async for agent in client.agents.all(status=tuple(status or ()), limit=limit)]

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        ("name", "status", "id", Column("version", drops=True), Column("updated", drops=True), SOURCE),
        (
            (agent.name, agent.status, agent.id, _version(agent), agent.updated_at, source_text(agent.source))
            for agent in found
        ),
        empty="No agents yet. Make one: skep deploy ./folder",
        filtered=bool(status),
    )


def _version(agent: AgentView) -> str | None:
    return f"v{agent.version.number}" if agent.version else None


def source_text(source: SourceView) -> str:
    """Say in a few words where code comes from."""
    if source.git:
        return source.git.url + (f"@{source.git.ref}" if source.git.ref else "")
    if source.upload:
        return source.label or "upload"
    return source.image or screen.count(len(source.files or ()), "inline file")


def remove(
    name: Annotated[str, typer.Argument(help="The agent's name or id.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove an agent; its runs stay to be read."""
    if not yes:
        options.confirmed(f"Remove the agent {name}?")

    async def act(client: SkepClient) -> AgentView:
        agent = await client.agents.get(name)
        await client.agents.remove(agent.id)
        return agent

    agent = call(act)
    if as_json:
        screen.emit({"id": agent.id, "name": agent.name, "removed": True})
    else:
        screen.say(f"removed {agent.name}")
