"""`skep inbox`, `answer`."""

from typing import Annotated

import typer

from skep.edge.cli import asking, runs, screen, tables
from skep.edge.cli.options import Json, Limit
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.runs import InboxItem, RunView
from skep.kernel.errors import InvalidError


def inbox(
    status: Annotated[list[str] | None, typer.Option(help="Only waiting, finished or failed.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List what runs ask and how they ended, newest first."""

    async def act(client: SkepClient) -> list[InboxItem]:
        return [item async for item in client.runs.inbox(status=tuple(status or ()), limit=limit)]

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        ("run", Column("agent", drops=True), "status", Column("at", drops=True), Column("text", folds=True)),
        ((item.run_id, item.agent_name, item.status, item.at, item.text) for item in found),
        empty="Nothing yet.",
        filtered=bool(status),
    )
    if any(item.status == "waiting" for item in found):
        screen.say("answer with: skep answer RUN", style="dim")


def answer(
    thing: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or an agent's name (its latest run).")],
    text: Annotated[str | None, typer.Argument(help="The answer; left out it is asked for.")] = None,
    question: Annotated[str | None, typer.Option(metavar="ID", help="Which of several open questions.")] = None,
    as_json: Json = False,
) -> None:
    """Answer what a run asks."""
    if text is None and not asking.on_a_terminal():
        raise InvalidError("there is no answer", fields={"text": "is missing"}, hint=f"skep answer {thing} TEXT")

    async def act(client: SkepClient) -> RunView:
        run_id = await runs.meant(client, thing)
        asked = (await client.runs.get(run_id)).question if question is None else None
        if text is None:
            if asked is None:
                # The server says best why there is nothing to be answered.
                return await client.runs.answer(run_id, "", question=question)
            return await asking.prompt(client, run_id, asked)
        return await client.runs.answer(run_id, asking.value_of(asked, text), question=question or (asked and asked.id))

    found = call(act)
    if as_json:
        screen.emit(found)
    else:
        screen.say(f"{found.id}: answered, {found.status}", style="green")
