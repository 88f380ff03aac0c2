"""`skep artifacts`: list what a run left, and fetch it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from skep.edge.cli import runs, screen, tables
from skep.edge.cli.options import Json
from skep.edge.cli.saving import parts_of, save
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.runs import ArtifactView
from skep.kernel.errors import NotFoundError


def artifacts(
    thing: Annotated[str, typer.Argument(help="An agent's name (its latest run), or the id of a run.")],
    paths: Annotated[list[str] | None, typer.Argument(help="Files to fetch; without any they are listed.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Fetch all files; needs -o.")] = False,
    into: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", file_okay=False, help="Folder to put them in.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """List the files that a run left in $SKEP_ARTIFACTS, or fetch some into a folder (this one if none is named)."""
    if every and (paths or into is None):
        raise typer.BadParameter("--all takes no paths, and needs -o DIR")
    if not every and not paths:
        if into is not None:
            raise typer.BadParameter("name the files to fetch, or --all")
        _listed(thing, as_json=as_json)
        return

    async def act(client: SkepClient) -> list[ArtifactView]:
        run = await runs.meant(client, thing)
        wanted = _chosen(run, await client.runs.artifacts(run), None if every else paths)
        await _fetch(client, run, wanted, into or Path(), force=force, quiet=as_json)
        return wanted

    fetched = call(act)
    if as_json:
        screen.emit(fetched)
    else:
        files, total = screen.count(len(fetched), "file"), screen.size(sum(one.size for one in fetched))
        screen.say(f"{files}, {total}, in {screen.clean(str(into or '.'))}", style="green")


def _listed(thing: str, *, as_json: bool) -> None:
    async def act(client: SkepClient) -> list[ArtifactView]:
        return await client.runs.artifacts(await runs.meant(client, thing))

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        ("path", "size", Column("sha256", drops=True)),
        ((one.path, screen.size(one.size), one.sha256[:16]) for one in found),
        empty="No files. A run leaves those that it puts into $SKEP_ARTIFACTS, when it has ended.",
    )


def _chosen(run: str, found: Sequence[ArtifactView], paths: Sequence[str] | None) -> list[ArtifactView]:
    """Return what is to be fetched; whatever cannot be is told before anything is written."""
    if paths is None:
        wanted = list(found)
    else:
        by_path = {one.path: one for one in found}
        missing = [path for path in paths if path not in by_path]
        if missing:
            raise NotFoundError(
                f"{run} left no {missing[0]}", code="artifact_not_found", hint=f"skep artifacts {run} lists the files"
            )
        wanted = [by_path[path] for path in dict.fromkeys(paths)]
    for one in wanted:
        parts_of(one.path)
    return wanted


async def _fetch(
    client: SkepClient, run: str, wanted: Sequence[ArtifactView], into: Path, *, force: bool, quiet: bool
) -> None:
    with screen.waiting("fetching", quiet=quiet) as update:
        for one in wanted:
            update(f"fetching {screen.clean(one.path)} ({screen.size(one.size)})")
            await save(into, one, client.runs.artifact(run, one.path), force=force)
            if not quiet:
                screen.say(screen.clean(one.path), style="dim")
