"""`skep secret`: values come from standard input or a prompt, never from the command line."""

import sys
from typing import Annotated

import typer

from skep.edge.cli import screen, tables
from skep.edge.cli.options import Json
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.secrets import SecretView
from skep.kernel.errors import InvalidError
from skep.kernel.secret import Secret

secret = typer.Typer(name="secret", no_args_is_help=True, help="Secrets: values go in and never come out.")


@secret.command("set")
def set_secret(
    name: Annotated[str, typer.Argument(help="Letters, digits and _; also the name of its file.")],
    as_json: Json = False,
) -> None:
    """Add a secret or replace its value, which is read from standard input or asked for."""
    value = _value(name)

    async def act(client: SkepClient) -> SecretView:
        return await client.secrets.put(name, value)

    made = call(act)
    if as_json:
        screen.emit(made)
    else:
        screen.say(f"kept {made.name}; give it to an agent with: skep deploy ... --secret {made.name}")
        screen.say(f"or open a private repository with it: skep deploy URL --git-secret {made.name}", style="dim")


def _value(name: str) -> Secret[str]:
    if sys.stdin.isatty():
        text: str = typer.prompt(f"value of {name}", hide_input=True, err=True)
    else:
        # One line end at the end is the shell's, not the secret's.
        text = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not text:
        raise InvalidError("the value is empty", code="empty_secret", hint=f"printf %s VALUE | skep secret set {name}")
    return Secret(text)


@secret.command("list")
def list_secrets(as_json: Json = False) -> None:
    """List the names of the secrets."""

    async def act(client: SkepClient) -> list[SecretView]:
        return [found async for found in client.secrets.all()]

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        ("name", Column("changed", drops=True), Column("made", drops=True)),
        ((one.name, one.updated_at, one.created_at) for one in found),
        empty="No secrets yet. Add one: skep secret set NAME",
    )


@secret.command("remove")
def remove_secret(name: Annotated[str, typer.Argument(help="The secret's name.")], as_json: Json = False) -> None:
    """Remove a secret."""

    async def act(client: SkepClient) -> None:
        await client.secrets.remove(name)

    call(act)
    if as_json:
        screen.emit({"name": name, "removed": True})
    else:
        screen.say(f"removed {name}")
