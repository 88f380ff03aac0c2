"""`skep deploy`: source in, agent out; told again, it changes and builds the same agent."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any

import typer

from skep.edge.cli import exits, options, pack, screen, sources, tables
from skep.edge.cli.options import Json
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import ApiError, SkepClient
from skep.edge.wire.agents import AgentView, ChangeAgent, CreateAgent
from skep.edge.wire.builds import BuildView
from skep.edge.wire.sources import SourceBody
from skep.kernel.settings import MIB, Settings
from skep.product.images.model import BuildStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line; what was not mentioned is absent."""

    name: str
    env: dict[str, str]
    secrets: list[str]
    env_from_secret: dict[str, str]
    resources: dict[str, Any]
    command: list[str]
    egress: list[str]
    attempts: int | None


def deploy(  # noqa: PLR0917  typer reads the signature
    source: Annotated[str, typer.Argument(help="A folder, or a repository's URL (https, ssh, file).")],
    name: Annotated[str | None, typer.Option("--name", "-n", help="The agent's name; else the source's.")] = None,
    ref: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
    path: Annotated[str, typer.Option(help="Folder inside the source.")] = "",
    env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="Environment variable.")] = None,
    secret: Annotated[list[str] | None, typer.Option(metavar="K", help="Secret, as a file in /run/secrets.")] = None,
    env_from_secret: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SECRET", help="Secret, as an environment variable: weaker than a file; audited."),
    ] = None,
    cpus: Annotated[float | None, typer.Option(help="Processors of a run.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", "-m", metavar="512M", help="Memory of a run.")] = None,
    timeout: Annotated[str | None, typer.Option(metavar="60s", help="Time limit of a run.")] = None,
    attempts: Annotated[
        int | None, typer.Option(min=1, max=10, help="How often a run is tried when an attempt is lost.")
    ] = None,
    egress: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST[:PORT]", help="Kept with the version; runs have no way out yet."),
    ] = None,
    command: Annotated[str | None, typer.Option(help="How it is started, over what is recognised.")] = None,
    no_build: Annotated[bool, typer.Option("--no-build", help="Only make the agent; build it later.")] = False,
    as_json: Json = False,
) -> None:
    """Make an agent from a folder or a repository, and build it; an agent of that name is changed and built again."""
    given = sources.recognise(source, ref)
    limits = {
        "cpus": cpus,
        "memory_mb": options.memory_mb(memory) if memory else None,
        "timeout_s": options.seconds(timeout) if timeout else None,
    }
    wish = Wish(
        name=name or sources.name_for(str(given.folder) if isinstance(given, sources.Local) else source),
        env=options.pairs(env or (), "K=V"),
        secrets=list(dict.fromkeys(secret or ())),
        env_from_secret=options.pairs(env_from_secret or (), "NAME=SECRET"),
        resources={key: value for key, value in limits.items() if value is not None},
        command=shlex.split(command or ""),
        egress=list(dict.fromkeys(egress or ())),
        attempts=attempts,
    )

    async def act(client: SkepClient) -> tuple[AgentView, BuildView | None]:
        body = await _source(client, given, ref, path, quiet=as_json)
        agent = await _agent(client, wish, body)
        if no_build:
            return agent, None
        build = await client.agents.build(agent.id)
        build = await follow_build(client, build, quiet=as_json)
        return await client.agents.get(agent.id), build

    agent, build = call(act)
    _report(agent, build, as_json=as_json)
    if build is not None and build.status is not BuildStatus.SUCCEEDED:
        raise typer.Exit(exits.ERROR)


async def _source(
    client: SkepClient, given: sources.Remote | sources.Local, ref: str | None, path: str, *, quiet: bool
) -> SourceBody:
    if isinstance(given, sources.Remote):
        return sources.remote_body(given, ref, path)
    settings = Settings()
    with sources.checkout(given, ref) as (folder, label), NamedTemporaryFile(suffix=".tar.gz") as archive:
        with screen.waiting("packing", quiet=quiet) as update:
            packed = pack.pack(
                folder,
                pack.file_list(folder),
                archive.file,
                limit=settings.source_limit_mb * MIB,
                progress=lambda size: update(f"packing {screen.size(size)}"),
            )
            archive.flush()
            update(f"uploading {screen.size(Path(archive.name).stat().st_size)}")
            upload = await client.uploads.create(lambda: sources.read(Path(archive.name)))
        if not quiet:
            screen.say(f"uploaded {packed.files} files, {screen.size(packed.size)}", style="dim")
    return SourceBody.model_validate({"upload": upload.id, "label": label} | ({"path": path} if path else {}))


async def _agent(client: SkepClient, wish: Wish, source: SourceBody) -> AgentView:
    """Make the agent, or change the one that has the name."""
    try:
        existing = await client.agents.get(wish.name)
    except ApiError as error:
        if error.status != 404:
            raise
        given = {
            "env": wish.env,
            "secrets": wish.secrets,
            "env_from_secret": wish.env_from_secret,
            "resources": wish.resources,
            "command": wish.command,
            "egress": wish.egress,
            "max_attempts": wish.attempts,
        }
        chosen = {key: value for key, value in given.items() if value}
        return await client.agents.create(CreateAgent.model_validate({"name": wish.name, "source": source, **chosen}))
    return await client.agents.change(existing.id, changes(existing, wish, source))


def changes(existing: AgentView, wish: Wish, source: SourceBody) -> ChangeAgent:
    """Decide what to change: the source always, of the rest what was asked for and differs; nothing is taken away."""
    resources = existing.resources.model_dump(exclude_none=True)
    wanted: dict[str, tuple[Any, Any]] = {
        "env": (existing.env, existing.env | wish.env),
        "secrets": (existing.secrets, _joined(existing.secrets, wish.secrets)),
        "env_from_secret": (existing.env_from_secret, existing.env_from_secret | wish.env_from_secret),
        "resources": (resources, resources | wish.resources),
        "command": (existing.command, wish.command or existing.command),
        "egress": (existing.egress, _joined(existing.egress, wish.egress)),
        "max_attempts": (existing.max_attempts, wish.attempts or existing.max_attempts),
    }
    differs = {key: new for key, (old, new) in wanted.items() if old != new}
    return ChangeAgent.model_validate({"source": source, **differs})


def _joined(old: list[str], new: list[str]) -> list[str]:
    return list(dict.fromkeys((*old, *new)))


async def follow_build(client: SkepClient, build: BuildView, *, quiet: bool) -> BuildView:
    """Show a build's log until it is over, and return it as it ended."""
    with screen.waiting("building", quiet=quiet) as update:
        async for piece in client.builds.log(build.id, follow=True):
            if not quiet:
                screen.piece(piece)
                update("building")
    return await client.builds.ended(build.id)


def _report(agent: AgentView, build: BuildView | None, *, as_json: bool) -> None:
    if as_json:
        body = agent.model_dump(mode="json")
        if build is not None:
            body["build"] = build.model_dump(mode="json")
        screen.emit(body)
        return
    if build is not None and build.error is not None:
        screen.say(f"build {build.status}: {screen.clean(build.error.message)}", style="red")
        if build.error.hint:
            screen.say(f"hint: {screen.clean(build.error.hint)}")
        return
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
    screen.say()
    screen.say(f"next: {next_command(agent, built=build is not None)}", style="bold")


def _took(build: BuildView | None) -> str | None:
    if build is None or build.started_at is None or build.ended_at is None:
        return None
    return screen.duration((build.ended_at - build.started_at).total_seconds())


def next_command(agent: AgentView, *, built: bool) -> str:
    """Say what to type now."""
    if not built:
        return f"skep deploy ... --name {agent.name}   (without --no-build)"
    schema = agent.version.config.inputs_schema if agent.version else None
    schema = schema or agent.inputs_schema or {}
    fields = schema.get("required") or list(schema.get("properties") or ())
    inputs = [f"--input {shlex.quote(str(field))}=..." for field in fields[:5]]
    return screen.clean(" ".join(["skep run", agent.name, *inputs]))
