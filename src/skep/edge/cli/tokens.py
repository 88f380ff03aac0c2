"""`skep token` and `skep project`."""

from typing import Annotated

import typer

from skep.edge.cli import options, screen, tables
from skep.edge.cli.options import Json
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.access import ProjectView, TokenCreated, TokenView

token = typer.Typer(name="token", no_args_is_help=True, help="Tokens: who may do what.")
project = typer.Typer(name="project", no_args_is_help=True, help="Projects: what every thing belongs to.")


@token.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="admin, operate, invoke or read; may be repeated. Or metrics, alone.")
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="30d", help="No longer good after this time.")] = None,
    everywhere: Annotated[bool, typer.Option("--everywhere", help="Good for every project (scope admin).")] = False,
    as_json: Json = False,
) -> None:
    """Make a token; its text is shown once."""
    expires_s = options.seconds(expires) if expires else None

    async def act(client: SkepClient) -> TokenCreated:
        return await client.tokens.create(name, scope or ["invoke"], expires_s=expires_s, everywhere=everywhere)

    made = call(act)
    if as_json:
        screen.emit(made)
        return
    typer.echo(made.token)
    screen.say(f"{made.id}: {', '.join(made.scopes)}; this text is not shown again", style="dim")


@token.command("list")
def list_tokens(as_json: Json = False) -> None:
    """List tokens, without their text."""

    async def act(client: SkepClient) -> list[TokenView]:
        return [found async for found in client.tokens.all()]

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        (
            *("id", Column("name", folds=True), Column("scopes", folds=True), Column("state", folds=True)),
            *(Column("project", drops=True), Column("last used", drops=True), Column("made", drops=True)),
        ),
        (
            (
                one.id,
                one.name,
                ", ".join(one.scopes),
                _state(one),
                one.project_id or "every",
                one.last_used_at,
                one.created_at,
            )
            for one in found
        ),
        empty="No tokens.",
    )


def _state(one: TokenView) -> str:
    if one.revoked_at:
        return "revoked"
    return f"until {one.expires_at:%Y-%m-%d %H:%M} UTC" if one.expires_at else "good"


@token.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(help="The token's id, as `skep token list` shows it.")],
    as_json: Json = False,
) -> None:
    """Make a token useless from now on."""

    async def act(client: SkepClient) -> None:
        await client.tokens.revoke(token_id)

    call(act)
    if as_json:
        screen.emit({"id": token_id, "revoked": True})
    else:
        screen.say(f"revoked {token_id}")


@project.command("create")
def create_project(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, hyphens.")], as_json: Json = False
) -> None:
    """Make a project."""

    async def act(client: SkepClient) -> ProjectView:
        return await client.projects.create(name)

    made = call(act)
    if as_json:
        screen.emit(made)
    else:
        screen.say(f"made {made.name} ({made.id}); use it with --project {made.name} or SKEP_PROJECT")


@project.command("list")
def list_projects(as_json: Json = False) -> None:
    """List projects."""

    async def act(client: SkepClient) -> list[ProjectView]:
        return [found async for found in client.projects.all()]

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(("name", "made", "id"), ((one.name, one.created_at, one.id) for one in found), empty="No projects.")
