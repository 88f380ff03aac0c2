"""`skep inbox`, `answer`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from skep.edge.cli import asking, runs, screen, tables
from skep.edge.cli.clean import clean
from skep.edge.cli.options import Json, Limit
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.runs import InboxItem, QuestionView, RunView
from skep.kernel.errors import ConflictError, InvalidError


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
    # Where each run asks one thing, its own id is enough.
    several = any(len(item.questions) > 1 for item in found)
    tables.table(
        (
            "run",
            Column("agent", drops=True),
            "status",
            *(("question",) if several else ()),
            Column("at", drops=True),
            Column("text", folds=True),
        ),
        (row for item in found for row in _rows(item, several=several)),
        empty="Nothing yet.",
        filtered=bool(status),
    )
    if any(item.status == "waiting" for item in found):
        screen.say(f"answer with: skep answer RUN TEXT{' --question ID' if several else ''}", style="dim")


def _rows(item: InboxItem, *, several: bool) -> Iterator[tuple[Any, ...]]:
    """Yield a line for each question of an item, the only one for an item that asks nothing."""
    if not item.questions:
        yield (item.run_id, item.agent_name, item.status, *((None,) if several else ()), item.at, item.text)
    for asked in item.questions:
        name = (asked.id,) if several else ()
        yield (item.run_id, item.agent_name, item.status, *name, asked.asked_at, asking.in_short(asked))


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
        run = await client.runs.get(await runs.meant(client, thing))
        if text is None:
            return await _prompted(client, run, question)
        asked = asking.which(run, question)
        if asked is None:
            # The server says best why there is nothing to be answered, or that it has this answer already.
            return await client.runs.answer(run.id, text, question=question)
        return _answered(await asking.give(client, run.id, asked, asking.value_of(asked, text)), asked)

    found = call(act)
    if as_json:
        screen.emit(found)
    else:
        screen.say(f"{found.id}: answered, {found.status}", style="green")


async def _prompted(client: SkepClient, run: RunView, question: str | None) -> RunView:
    """Ask for the answer to the question that is meant, or to one after the other."""
    asked = [one for one in run.questions if question in (None, one.id)]
    if not asked:
        raise ConflictError(
            f"{run.id} does not ask that" if question else f"{run.id} is {run.status}: it asks nothing",
            code="not_waiting",
            hint="skep inbox lists the runs that wait for an answer",
        )
    for one in asked:
        run = _answered(await asking.prompt(client, run.id, one), one)
    return run


def _answered(run: RunView, asked: QuestionView) -> RunView:
    if not screen.wants_json():
        screen.say(f"answered: {clean(asking.in_short(asked))}", style="dim")
    return run
