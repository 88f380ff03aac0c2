"""`skep audit`, `doctor`, `version`."""

from typing import Annotated

import typer

from skep import __version__
from skep.edge.cli import exits, screen, tables
from skep.edge.cli.options import Json, Limit
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.access import AuditView
from skep.edge.wire.system import DoctorReport
from skep.kernel.clock import SystemClock
from skep.kernel.errors import SkepError, UnavailableError


def audit(
    text: Annotated[str | None, typer.Argument(help="Only lines that hold this text.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only from this time on (RFC 3339).")] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Show who did what, newest first."""

    async def act(client: SkepClient) -> list[AuditView]:
        return [line async for line in client.audit.all(q=text, since=since, limit=limit)]

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        (
            *(Column("when", folds=True), Column("who", folds=True), "action", "on", "result"),
            *(Column("details", folds=True, drops=True), Column("token", drops=True), Column("from", drops=True)),
        ),
        map(_audited, found),
        empty="Nothing was done yet.",
        filtered=bool(text or since),
    )


def _audited(line: AuditView) -> tuple[str, ...]:
    """Return a line's cells; a principal is written `name (id of its token)`."""
    name, _, token = line.principal.removesuffix(")").rpartition(" (")
    if not name:
        name, token = line.principal, ""
    details = ", ".join(f"{key}: {value}" for key, value in line.details.items())
    this_year = line.at.year == SystemClock().now().year
    when = f"{line.at:%m-%d %H:%M:%S}" if this_year else f"{line.at:%Y-%m-%d %H:%M:%S}"
    return when, name, line.action, line.resource, line.result, details, token, line.address


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    as_json: Json = False,
) -> None:
    """Say what is the matter with the installation, and which isolation is really active."""

    async def act(client: SkepClient) -> DoctorReport:
        return await (client.system.repair() if repair else client.system.doctor())

    report = call(act)
    if as_json:
        screen.emit(report)
    else:
        tables.table(
            ("level", "what", Column("finding", folds=True)),
            ((found.level, found.area, found.message) for found in report.findings),
            empty="Nothing to say.",
        )
        for found in report.findings:
            if found.hint and found.level != "ok":
                screen.say(f"{screen.clean(found.area)}: {screen.clean(found.hint)}")
        for done in report.repaired:
            screen.say(f"mended: {screen.clean(done)}", style="green")
        if not repair and any(found.repairable for found in report.findings):
            screen.say("next: skep doctor --repair", style="bold")
    if not report.ok:
        raise typer.Exit(exits.ERROR)


def version(as_json: Json = False) -> None:
    """Print the versions of this command and of the server."""

    async def act(client: SkepClient) -> str:
        return (await client.system.version()).version

    server: str | None = None
    try:
        server = call(act)
    except UnavailableError:
        pass
    except SkepError as problem:
        server = f"unknown ({problem.message})"
    if as_json:
        screen.emit({"version": __version__, "server": server})
    else:
        typer.echo(f"skep {__version__}, server {screen.clean(server) if server else 'not running'}")
