"""`skep hosts`, `skep webhook`: which servers are known, and who tells of pushes."""

from typing import Annotated

import typer

from skep.edge.cli import options, screen, tables
from skep.edge.cli.options import Json
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.repositories import HostForgotten, HostView, WebhookCreated

hosts = typer.Typer(name="hosts", help="Keys of ssh servers that repositories come from.", invoke_without_command=True)
webhook = typer.Typer(name="webhook", help="Build an agent when somebody pushes.", no_args_is_help=True)


@hosts.callback()
def show_hosts(context: typer.Context, as_json: Json = False) -> None:
    """Without a verb: what `skep hosts list` shows."""
    if context.invoked_subcommand is None:
        list_hosts(as_json=as_json)


@hosts.command("list")
def list_hosts(as_json: Json = False) -> None:
    """List the ssh servers whose keys the project has kept; `skep hosts forget HOST` accepts another key."""

    async def act(client: SkepClient) -> list[HostView]:
        return await client.hosts.all()

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        ("host", "fingerprint", Column("type", drops=True), Column("seen", drops=True)),
        ((_place(one), one.fingerprint, one.type, one.created_at) for one in found),
        empty="No server's key was kept: none was seen yet, or all were known before.",
    )


@hosts.command("forget")
def forget_host(
    host: Annotated[str, typer.Argument(help="host, or host:port.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forget a server's key: the next one that it shows is kept instead."""
    if not yes:
        options.confirmed(f"Take whatever key {host} shows next?")

    async def act(client: SkepClient) -> HostForgotten:
        return await client.hosts.forget(host)

    done = call(act)
    if as_json:
        screen.emit(done)
    else:
        screen.say(f"forgot {screen.count(done.forgotten, 'key')} of {host}; the next build keeps the one that it sees")


@webhook.command("add")
def add_webhook(
    agent: Annotated[str, typer.Argument(help="The agent's name or id.")],
    as_json: Json = False,
) -> None:
    """Make the agent's webhook, or give it another secret; put both where the repository is."""

    async def act(client: SkepClient) -> WebhookCreated:
        return await client.agents.webhook(agent)

    made = call(act)
    if as_json:
        screen.emit(made)
        return
    typer.echo(f"url     {made.url}")
    typer.echo(f"secret  {made.secret}")
    screen.say("content type application/json, event push; the secret is not shown again", style="dim")


@webhook.command("remove")
def remove_webhook(
    agent: Annotated[str, typer.Argument(help="The agent's name or id.")],
    as_json: Json = False,
) -> None:
    """Remove the agent's webhook."""

    async def act(client: SkepClient) -> None:
        await client.agents.remove_webhook(agent)

    call(act)
    if as_json:
        screen.emit({"agent": agent, "removed": True})
    else:
        screen.say(f"removed the webhook of {agent}")


def _place(seen: HostView) -> str:
    host = f"[{seen.host}]" if ":" in seen.host else seen.host
    return f"{host}:{seen.port}"
