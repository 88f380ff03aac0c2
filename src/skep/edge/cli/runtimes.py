"""`skep runtimes`."""

from typing import Annotated

import typer

from skep.edge.cli import screen, tables
from skep.edge.cli.options import Json
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.runtimes import RuntimeView


def runtimes(
    every: Annotated[
        bool, typer.Option("--all", help="Also the older releases of each version that are not there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List what can run agents here: what is there, and what is made when an agent first needs it."""

    async def act(client: SkepClient) -> list[RuntimeView]:
        return await client.system.runtimes()

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        ("language", "version", "there", Column("where from", folds=True), Column("size", drops=True)),
        (
            (
                one.language,
                one.version,
                "yes" if one.there else "on first use",
                one.origin,
                screen.size(one.size_bytes) if one.size_bytes else None,
            )
            for one in (found if every else newest(found))
        ),
    )


def newest(found: list[RuntimeView]) -> list[RuntimeView]:
    """Return what is there, and of the rest the first release of each line: 3.12 of Python, 22 of Node."""
    shown: list[RuntimeView] = []
    seen: set[str] = set()
    for one in found:
        parts = one.version.split(".")
        line = f"{one.language} {'.'.join(parts[: 2 if one.language == 'python' else 1])}"
        if one.there or line not in seen:
            shown.append(one)
        seen.add(line)
    return shown
