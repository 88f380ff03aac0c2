"""`skep run`, `runs`, `logs`, `output`, `cancel`."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from skep.edge.cli import asking, exits, hints, options, screen, tables
from skep.edge.cli import inputs as typed
from skep.edge.cli.options import Json, Limit
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import ApiError, SkepClient
from skep.edge.wire.common import LogPiece
from skep.edge.wire.runs import RunView
from skep.kernel.errors import InvalidError, NotFoundError
from skep.product.runs.model import RunStatus

#: No name has an underscore in it, so these tell what is meant even where the rest is mistyped.
RUN, BUILD = "run_", "bld_"
_Thing = Annotated[str, typer.Argument(help="An agent's name (its latest run), or the id of a run or build.")]


def run(
    name: Annotated[str, typer.Argument(help="The agent's name or id.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", metavar="K=V", help="Text where the agent's schema says string; else JSON if it is that."
        ),
    ] = None,
    input_file: Annotated[Path | None, typer.Option(help="JSON object with inputs; - is standard input.")] = None,
    timeout: Annotated[str | None, typer.Option(metavar="60s", help="Time limit of this run.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only start it, and print its id.")] = False,
    as_json: Json = False,
) -> None:
    """Run an agent and stream its log; ends with the agent's exit code. Ctrl-C cancels the run."""
    from_file, said = _from_file(input_file), typed.typed(inputs or ())
    timeout_s = options.seconds(timeout) if timeout else None

    async def act(client: SkepClient) -> RunView:
        values = typed.read(said, await _schema(client, name) if typed.ambiguous(said) else None)
        started = await client.runs.start(name, from_file | values, timeout_s=timeout_s)
        if no_wait:
            return started
        if not as_json:
            screen.say(f"run {started.id}", style="dim")
        return await _attend(client, started, quiet=as_json)

    try:
        ended = call(act)
    except ApiError as error:
        if error.code == "agent_not_built":
            error.hint = f"skep build {name}"
        if error.code == "inputs_invalid" and said:
            error.hint = f"{error.hint or ''} {typed.FORCING}.".lstrip()
        raise
    if as_json:
        screen.emit(ended)
    elif no_wait:
        typer.echo(ended.id)
        screen.say(f"next: skep logs {ended.id} -f", style="bold")
    else:
        _verdict(ended)
    if not no_wait:
        raise typer.Exit(exits.of_run(ended))


async def _schema(client: SkepClient, name: str) -> dict[str, Any] | None:
    """Return the schema that the inputs of an agent's next run are checked by."""
    found = await client.agents.get(name)
    return found.inputs_schema if found.version is None else found.version.config.inputs_schema


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = json.loads(sys.stdin.read() if str(path) == "-" else path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidError(f"{path} cannot be read as JSON: {error}", code="bad_input_file") from error
    if not isinstance(content, dict):
        raise InvalidError(f"{path} holds no JSON object", code="bad_input_file")
    return cast("dict[str, Any]", content)


async def _attend(client: SkepClient, started: RunView, *, quiet: bool) -> RunView:
    """Show the log until the run is over; an interrupt cancels the run."""
    log = screen.Log()
    try:
        async with asking.attended(client, started.id, log, quiet=quiet):
            async for piece in client.runs.log(started.id, follow=True):
                if not quiet:
                    log.piece(piece)
            log.end_line()
            return await client.runs.ended(started.id)
    except asyncio.CancelledError:
        log.end_line()
        screen.say(f"cancelling {started.id} ...", style="yellow")
        await client.runs.cancel(started.id)
        return await client.runs.ended(started.id)


def _verdict(ended: RunView) -> None:
    if ended.result is not None:
        screen.say("result: " + screen.clean(json.dumps(ended.result, ensure_ascii=False)))
    took = screen.duration(ended.usage.duration_s)
    if ended.status is RunStatus.SUCCEEDED:
        screen.say(f"succeeded in {took}", style="green")
        return
    code = f", exit code {ended.exit_code}" if ended.exit_code is not None else ""
    screen.say(f"{ended.status} after {took}{code}", style="red")
    if ended.error is not None:
        screen.say(screen.clean(ended.error.message))
        if ended.error.hint:
            screen.say(f"hint: {hints.in_verbs(screen.clean(ended.error.hint), run=ended.id)}")


def runs(
    name: Annotated[str | None, typer.Argument(help="Only runs of this agent.")] = None,
    status: Annotated[list[str] | None, typer.Option(help="Only runs in this state.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""

    async def act(client: SkepClient) -> list[RunView]:
        return [one async for one in client.runs.all(agent=name, status=tuple(status or ()), limit=limit)]

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        (
            "id",
            "agent",
            "status",
            Column("exit", drops=True),
            Column("started", drops=True),
            Column("took", drops=True),
        ),
        ((one.id, one.agent_name, one.status, one.exit_code, one.created_at, _took(one)) for one in found),
        empty="No runs yet. Start one: skep run NAME",
        filtered=bool(name or status),
    )


def _took(one: RunView) -> str | None:
    return screen.duration(one.usage.duration_s) if one.status.final else None


def logs(
    thing: _Thing,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it is over.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print a log: of a run, of a build, or of an agent's latest run."""
    log = screen.Log()

    async def act(client: SkepClient) -> None:
        async for piece in await _log(client, thing, follow=follow):
            if as_json:
                typer.echo(json.dumps(piece.model_dump(mode="json")))
            else:
                log.piece(piece)
        log.end_line()

    call(act)


async def _log(client: SkepClient, thing: str, *, follow: bool) -> AsyncIterator[LogPiece]:
    if thing.startswith(BUILD):
        return client.builds.log(thing, follow=follow)
    if thing.startswith(RUN):
        return client.runs.log(thing, follow=follow)
    latest = await _latest(client, thing)
    if latest is not None:
        return client.runs.log(latest, follow=follow)
    build = (await client.agents.get(thing)).build
    if build is None:
        raise NotFoundError(f"{thing} has neither runs nor builds", hint=f"skep run {thing}")
    return client.builds.log(build.id, follow=follow)


async def _latest(client: SkepClient, agent: str) -> str | None:
    async for found in client.runs.all(agent=agent, limit=1):
        return found.id
    return None


async def meant(client: SkepClient, thing: str) -> str:
    """Return the id of the run that *thing* means: itself, or the latest of the agent of that name."""
    if thing.startswith(BUILD):
        raise NotFoundError(f"{thing} is a build, not a run", hint=f"skep logs {thing}")
    run_id = thing if thing.startswith(RUN) else await _latest(client, thing)
    if run_id is None:
        raise NotFoundError(f"{thing} has no runs yet", hint=f"skep run {thing}")
    return run_id


def output(
    thing: Annotated[str, typer.Argument(help="An agent's name (its latest run), or the id of a run.")],
    as_json: Json = False,
) -> None:
    """Print what a run printed and left: standard output, standard error, result."""

    async def act(client: SkepClient) -> RunView:
        return await client.runs.get(await meant(client, thing))

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    if found.output is not None:
        log = screen.Log()
        for stream in ("stdout", "stderr"):
            log.text(stream, getattr(found.output, stream))
            log.end_line()
        if found.output.truncated:
            screen.say("(the middle was left out: too much output)", style="yellow")
    if found.result is not None:
        screen.say("result: " + screen.clean(json.dumps(found.result, ensure_ascii=False)))


def cancel(
    thing: Annotated[str, typer.Argument(help="The id of a run or a build.")],
    as_json: Json = False,
) -> None:
    """Ask for the end of a run or a build."""

    async def act(client: SkepClient) -> tuple[Any, str]:
        if thing.startswith(BUILD):
            build = await client.builds.cancel(thing)
            return build, build.status
        one = await client.runs.cancel(thing)
        return one, one.status

    if not thing.startswith((RUN, BUILD)):
        raise NotFoundError(f"{thing} is no run and no build", hint=f"cancel takes the id of one: skep runs {thing}")
    found, status = call(act)
    if as_json:
        screen.emit(found)
    else:
        screen.say(
            f"{thing}: {status}, its end is asked for" if status in ("queued", "running") else f"{thing}: {status}"
        )
