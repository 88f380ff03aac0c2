"""`skep build`, and what `skep deploy` shares with it: following a build, and telling how it ended."""

import asyncio
import shlex
from dataclasses import dataclass
from typing import Annotated

import typer

from skep.edge.cli import exits, hints, screen, tables
from skep.edge.cli.options import Json
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import ApiError, SkepClient
from skep.edge.wire.agents import AgentView
from skep.edge.wire.builds import BuildView
from skep.edge.wire.common import LogPiece
from skep.product.images.model import BuildStatus

Upgrade = Annotated[
    bool, typer.Option("--upgrade", help="Take the newest packages that the source allows; a lock of its own holds.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An agent as it is now."""

    agent: AgentView
    #: None when it was not to be built.
    build: BuildView | None = None
    #: Secrets that it is given and that are not there.
    absent: tuple[str, ...] = ()


def build(
    name: Annotated[str, typer.Argument(help="The agent's name or id.")],
    upgrade: Upgrade = False,
    as_json: Json = False,
) -> None:
    """Build an agent again from the source that it has; a branch is fetched anew."""

    async def act(client: SkepClient) -> Made:
        return await built(client, name, upgrade=upgrade, quiet=as_json)

    tell(call(act), as_json=as_json)


async def built(client: SkepClient, agent: str, *, upgrade: bool, quiet: bool) -> Made:
    """Build an agent, with its log on the screen, and return both as they are then."""
    ended = await followed(client, await client.agents.build(agent, upgrade=upgrade), quiet=quiet)
    return await made(client, ended.agent_id, ended)


async def made(client: SkepClient, agent: str, build: BuildView | None = None) -> Made:
    """Return an agent as it is now, and what it still lacks."""
    found = await client.agents.get(agent)
    return Made(agent=found, build=build, absent=await _absent(client, found))


async def _absent(client: SkepClient, agent: AgentView) -> tuple[str, ...]:
    given = dict.fromkeys((*agent.secrets, *agent.env_from_secret.values()))
    if not given:
        return ()
    try:
        there = {secret.name async for secret in client.secrets.all()}
    except ApiError as error:
        if error.status != 403:
            raise
        return ()
    return tuple(name for name in given if name not in there)


async def followed(client: SkepClient, begun: BuildView, *, quiet: bool) -> BuildView:
    """Show a build's log until it is over, and return it as it ended.

    Why it failed stands at the log's end, too, in the API's words: that is left to `say_failure`.
    """
    log = screen.Log()
    last: list[LogPiece] = []
    try:
        with screen.waiting("building", quiet=quiet):
            async for piece in client.builds.log(begun.id, follow=True):
                if last or begins_the_end(piece):
                    last.append(piece)
                elif not quiet:
                    log.piece(piece)
        ended = await client.builds.ended(begun.id)
        if ended.error is None and not quiet:
            for piece in last:
                log.piece(piece)
        return ended
    except asyncio.CancelledError:
        log.end_line()
        follow, end = f"skep logs {begun.id} -f", f"skep cancel {begun.id}"
        screen.say(f"build {begun.id} goes on; {follow} follows it, {end} ends it", style="yellow")
        raise


def begins_the_end(piece: LogPiece) -> bool:
    """Tell whether Skep says here why the build failed; nothing but the rest of that comes afterwards."""
    return piece.stream == "system" and piece.text.startswith("Failed (")


def tell(made: Made, *, as_json: bool) -> None:
    """Print what was made, and end the command with 1 when its build did not succeed."""
    if as_json:
        body = made.agent.model_dump(mode="json")
        if made.build is not None:
            body["build"] = made.build.model_dump(mode="json")
        screen.emit(body)
    elif made.build is not None and made.build.error is not None:
        say_failure(made.build)
    else:
        _show(made)
    if made.build is not None and made.build.status is not BuildStatus.SUCCEEDED:
        raise typer.Exit(exits.ERROR)


def say_failure(build: BuildView) -> None:
    """Say why a build did not succeed, and what to do; lists below either follow as they are."""
    if build.error is None:
        return
    why, _, more = screen.clean(build.error.message).partition("\n")
    screen.say(f"build {build.status}: {why}", style="red")
    if more:
        screen.say(more)
    if build.error.hint:
        first, newline, listed = screen.clean(build.error.hint).partition("\n")
        screen.say(f"hint: {hints.in_verbs(first)}{newline}{listed}")


def _show(made: Made) -> None:
    agent, build = made.agent, made.build
    version = f"v{agent.version.number}" if agent.version else None
    framework = build.recognised.framework if build is not None and build.recognised else None
    more = (Column("version", drops=True), Column("framework", drops=True), Column("built in", drops=True))
    row = (agent.name, agent.status, agent.id, version, framework, _took(build))
    tables.table(("agent", "status", "id", *more), [row])
    asked = build.recognised.secrets if build is not None and build.recognised else []
    given = {*agent.secrets, *agent.env_from_secret.values()}
    if missing := [name for name in asked if name not in given]:
        granting = " ".join(f"--secret {name}" for name in missing)
        screen.say(f"skep.yaml asks for secrets that the agent is not given; to grant them: {granting}", style="yellow")
    for notice in build.recognised.notices if build is not None and build.recognised else ():
        screen.say(f"note: {screen.clean(notice)}", style="yellow")
    for name in made.absent:
        screen.say(f"secret {name} is not there yet: skep secret set {name}", style="yellow")
    screen.say()
    screen.say(f"next: {next_command(agent, built=build is not None)}", style="bold")


def _took(build: BuildView | None) -> str | None:
    if build is None or build.started_at is None or build.ended_at is None:
        return None
    return screen.duration((build.ended_at - build.started_at).total_seconds())


def next_command(agent: AgentView, *, built: bool) -> str:
    """Say what to type now."""
    if not built:
        return f"skep build {agent.name}"
    schema = agent.version.config.inputs_schema if agent.version else None
    schema = schema or agent.inputs_schema or {}
    fields = schema.get("required") or list(schema.get("properties") or ())
    inputs = [f"--input {shlex.quote(str(field))}=..." for field in fields[:5]]
    return screen.clean(" ".join(["skep run", agent.name, *inputs]))
