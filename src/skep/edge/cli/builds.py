"""`skep builds`."""

from typing import Annotated

import typer

from skep.edge.cli import screen, tables
from skep.edge.cli.agents import SOURCE, source_text
from skep.edge.cli.options import Json, Limit
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.builds import BuildView

#: Of so many agents the name is shown; of those beyond, and of removed ones, the id.
_NAMED = 200


def builds(
    name: Annotated[str | None, typer.Argument(help="Only builds of this agent.")] = None,
    status: Annotated[list[str] | None, typer.Option(help="Only builds in this state.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List builds, newest first."""

    async def act(client: SkepClient) -> tuple[list[BuildView], dict[str, str]]:
        states = tuple(status or ())
        pages = client.builds.all(status=states, limit=limit)
        if name is not None:
            pages = client.agents.builds(name, status=states, limit=limit)
        made = [build async for build in pages]
        named = {} if as_json or not made else {one.id: one.name async for one in client.agents.all(limit=_NAMED)}
        return made, named

    found, names = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        (
            *("id", "agent", "status"),
            *(Column("started", drops=True), Column("step", drops=True), Column("commit", drops=True)),
            *(SOURCE, Column("error", folds=True, drops=True)),
        ),
        (
            (
                build.id,
                names.get(build.agent_id, build.agent_id),
                build.status,
                build.created_at,
                "explained" if build.explain and not build.step else build.step,
                build.commit[:12],
                source_text(build.source),
                build.error.message.partition("\n")[0] if build.error else None,
            )
            for build in found
        ),
        empty="No builds yet. Start one: skep deploy ./folder",
        filtered=bool(name or status),
    )
