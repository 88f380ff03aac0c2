"""`skep builds`."""

from typing import Annotated

import typer

from skep.edge.cli import screen
from skep.edge.cli.agents import source_text
from skep.edge.cli.options import Json, Limit
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.builds import BuildView


def builds(
    name: Annotated[str | None, typer.Argument(help="Only builds of this agent.")] = None,
    status: Annotated[list[str] | None, typer.Option(help="Only builds in this state.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List builds, newest first."""

    async def act(client: SkepClient) -> list[BuildView]:
        states = tuple(status or ())
        if name is None:
            return [build async for build in client.builds.all(status=states, limit=limit)]
        return [build async for build in client.agents.builds(name, status=states, limit=limit)]

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    screen.table(
        ("id", "status", "step", "source", "commit", "error", "started"),
        (
            (
                build.id,
                build.status,
                build.step,
                source_text(build.source),
                build.commit[:12],
                build.error.message if build.error else None,
                build.created_at,
            )
            for build in found
        ),
        empty="No builds yet. Start one: skep deploy ./folder",
    )
