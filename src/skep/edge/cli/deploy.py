"""`skep deploy`: source in, agent out; told again, it changes and builds the same agent."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from skep.edge.cli import building, explaining, options, screen, sources, uploading, wishes
from skep.edge.cli.clean import clean
from skep.edge.cli.options import Json
from skep.edge.cli.target import call
from skep.edge.cli.wishes import Wish
from skep.edge.client import ApiError, SkepClient
from skep.edge.wire.agents import LONGEST_POLL_S, SHORTEST_POLL_S, AgentView
from skep.edge.wire.builds import BuildView
from skep.edge.wire.sources import SourceBody


def deploy(  # noqa: PLR0917  typer reads the signature
    source: Annotated[str, typer.Argument(help="A folder, or a repository's URL (https, ssh, file).")],
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="The agent's name; else that of skep.yaml, or the source's.")
    ] = None,
    ref: Annotated[
        str | None,
        typer.Option(help='Branch, tag or commit; left out: as before if the URL is the same; "" clears it.'),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(help='Folder inside the source; left out: as before if the URL is the same; "" clears it.'),
    ] = None,
    git_secret: Annotated[
        str | None,
        typer.Option(
            metavar="K", help="Secret that opens a private repository: a token or a deploy key; kept like --ref."
        ),
    ] = None,
    poll: Annotated[
        str | None, typer.Option(metavar="5m", help="Look so often whether the repository has something new; or off.")
    ] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="Environment variable.")] = None,
    secret: Annotated[list[str] | None, typer.Option(metavar="K", help="Secret, as a file in /run/secrets.")] = None,
    env_from_secret: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SECRET", help="Secret, as an environment variable: weaker than a file; audited."),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Take back an --env, --secret, --env-from-secret or --egress of this name; before the rest.",
        ),
    ] = None,
    cpus: Annotated[float | None, typer.Option(help="Processors of a run.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", "-m", metavar="512M", help="Memory of a run.")] = None,
    disk: Annotated[str | None, typer.Option(metavar="1g", help="What a run may write to its disk.")] = None,
    pids: Annotated[int | None, typer.Option(min=1, help="Processes and threads of a run.")] = None,
    timeout: Annotated[str | None, typer.Option(metavar="60s", help="Time limit of a run.")] = None,
    attempts: Annotated[
        int | None, typer.Option(min=1, max=10, help="How often a run is tried when an attempt is lost.")
    ] = None,
    egress: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST[:PORT]", help="Kept with the version; runs have no way out yet."),
    ] = None,
    command: Annotated[
        str | None, typer.Option(help='How it is started, over what is recognised; "" takes that back.')
    ] = None,
    no_build: Annotated[bool, typer.Option("--no-build", help="Only make the agent; `skep build` builds it.")] = False,
    upgrade: building.Upgrade = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Only show what it is taken for and what a build would do.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an agent from a folder or a repository, and build it; an agent of that name is changed and built again."""
    for option, value in (("--name", name), ("--git-secret", git_secret)):
        options.not_empty(option, value)
    if upgrade and (explain or no_build):
        raise typer.BadParameter("--upgrade is for a build: leave out --explain and --no-build")
    given = _given(source, ref, git_secret, poll)
    limits = {
        "cpus": cpus,
        "memory_mb": options.memory_mb(memory) if memory else None,
        "disk_mb": options.disk_mb(disk) if disk else None,
        "pids": pids,
        "timeout_s": options.seconds(timeout) if timeout else None,
    }
    # Of a repository's state the name is known only once that is checked out.
    nameless = explain or (name is None and isinstance(given, sources.Local) and given.clone)
    wish = Wish(
        name="" if nameless else _name(name, given, path),
        env=options.pairs(env or (), "K=V"),
        secrets=list(dict.fromkeys(secret or ())),
        env_from_secret=options.pairs(env_from_secret or (), "NAME=SECRET"),
        resources={key: value for key, value in limits.items() if value is not None},
        command=None if command is None else options.words("--command", command),
        egress=list(dict.fromkeys(egress or ())),
        unset=frozenset(unset or ()),
        attempts=attempts,
        poll_s=None if poll is None else _poll_s(poll),
    )

    async def act(client: SkepClient) -> building.Made | BuildView:
        with nullcontext() if isinstance(given, sources.Remote) else sources.checkout(given, ref) as found:
            named = wish.name or explain
            wished = wish if named else replace(wish, name=_name(name, given, path, found and found[0]))
            body = await _source(client, given, found, ref, path, quiet=as_json)
        if explain:
            return await explaining.explained(client, body, wish.command or [], quiet=as_json)
        agent = await _agent(client, wished, body, quiet=as_json)
        if no_build:
            return await building.made(client, agent.id)
        return await building.built(client, agent.id, upgrade=upgrade, quiet=as_json)

    done = call(act)
    if isinstance(done, BuildView):
        explaining.tell(done, as_json=as_json)
    else:
        building.tell(done, as_json=as_json)


def _name(
    name: str | None, given: sources.Remote | sources.Local, path: str | None, checked_out: Path | None = None
) -> str:
    """Return the name of the agent: the one that was given, else that of a folder's `skep.yaml`, else the source's."""
    if name is None and isinstance(given, sources.Local):
        name = sources.declared_name(checked_out or given.folder, path or "")
    suggested = str(given.folder) if isinstance(given, sources.Local) else given.url
    return sources.checked_name(name or sources.name_for(suggested))


async def _source(
    client: SkepClient,
    given: sources.Remote | sources.Local,
    found: tuple[Path, str] | None,
    ref: str | None,
    path: str | None,
    *,
    quiet: bool,
) -> SourceBody:
    if found is None:
        assert isinstance(given, sources.Remote), "a local source is checked out"
        return sources.remote_body(given, ref, path)
    folder, label = found
    upload = await uploading.uploaded(client, folder, label, quiet=quiet)
    return SourceBody.model_validate({"upload": upload, "label": label} | ({"path": path} if path else {}))


async def _agent(client: SkepClient, wish: Wish, source: SourceBody, *, quiet: bool) -> AgentView:
    """Make the agent, or change the one that has the name, and say what stays as it was before."""
    try:
        existing = await client.agents.get(wish.name)
    except ApiError as error:
        if error.status != 404:
            raise
        return await client.agents.create(wishes.new(wish, source))
    if not quiet:
        for line in wishes.told(existing, wish, source):
            screen.say(clean(line), style="yellow")
    return await client.agents.change(existing.id, wishes.changes(existing, wish, source))


def _given(source: str, ref: str | None, git_secret: str | None, poll: str | None) -> sources.Remote | sources.Local:
    """Tell what was given, and refuse what only a repository takes."""
    if ref is not None and ref != ref.strip():
        raise typer.BadParameter("--ref has blanks around it")
    given = sources.recognise(source, ref)
    if isinstance(given, sources.Remote):
        return replace(given, secret=git_secret)
    # Only an agent's repository has a ref to go back from.
    options.not_empty("--ref", ref)
    for option, value in (("--git-secret", git_secret), ("--poll", None if poll == "off" else poll)):
        if value is not None:
            raise typer.BadParameter(f"{option} is for a repository that the server fetches itself: give its URL")
    return given


def _poll_s(text: str) -> float:
    """Read how often to look into seconds; 0 for never."""
    if text == "off":
        return 0.0
    every_s = options.seconds(text)
    if not SHORTEST_POLL_S <= every_s <= LONGEST_POLL_S:
        allowed = f"at least {SHORTEST_POLL_S}s, at most {LONGEST_POLL_S // 86_400}d, or off"
        raise typer.BadParameter(f"--poll {text}: {allowed}")
    return every_s
