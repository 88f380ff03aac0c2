"""`skep images`: what is built, what it takes, and how that is freed."""

from typing import Annotated

import typer

from skep.edge.cli import options, screen, tables
from skep.edge.cli.options import Json, Limit
from skep.edge.cli.tables import Column
from skep.edge.cli.target import call
from skep.edge.client import SkepClient
from skep.edge.wire.images import ImageListing, ImageView, LayerView, PrunedView

images = typer.Typer(name="images", no_args_is_help=True, help="Images and layers: what builds take on disk.")

#: So much of a layer's id tells it apart.
_SHORT = 12


@images.command("list")
def list_images(
    layers: Annotated[bool, typer.Option("--layers", help="List the layers instead, also those of no image.")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List what is built, newest first, with the size of its layers: those it shares, and its own."""
    if layers:
        _list_layers(as_json=as_json)
        return

    async def act(client: SkepClient) -> ImageListing:
        return await client.images.all(limit=limit)

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        (
            *("image", Column("named by", folds=True), "shared", "own"),
            *(Column("built", drops=True), Column("used", drops=True), Column("framework", drops=True)),
        ),
        map(_image, found.items),
        empty="Nothing is built yet. Start with: skep deploy ./folder",
    )
    if found.items:
        screen.say(f"{screen.size(found.disk_bytes)} on disk in all, each layer counted once", style="dim")


def _image(image: ImageView) -> tuple[object, ...]:
    names = [f"{use.agent_name} v{use.version}{' (now)' if use.current else ''}" for use in image.used_by]
    shared = sum(layer.size_bytes for layer in image.layers if layer.shared)
    return (
        image.id,
        ", ".join(names),
        screen.size(shared),
        screen.size(image.size_bytes - shared),
        image.created_at,
        max((layer.used_at for layer in image.layers), default=None),
        image.framework,
    )


def _list_layers(*, as_json: bool) -> None:
    async def act(client: SkepClient) -> list[LayerView]:
        return await client.images.layers()

    found = call(act)
    if as_json:
        screen.emit(found)
        return
    tables.table(
        (
            *("layer", "kind", "size", "whose", "needed"),
            *(Column("about", folds=True, drops=True), Column("used", drops=True), Column("made", drops=True)),
        ),
        (
            (
                layer.id[:_SHORT],
                layer.kind,
                screen.size(layer.size_bytes),
                "its project's" if layer.project_id else "shared",
                "yes" if layer.in_use else "no",
                layer.about,
                layer.used_at,
                layer.created_at,
            )
            for layer in found
        ),
        empty="No layers yet.",
    )


@images.command("prune")
def prune_images(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    older_than: Annotated[
        str, typer.Option(metavar="TIME", help="Only what was not used for so long: 12h, 7d.", show_default=False)
    ] = "0s",
    as_json: Json = False,
) -> None:
    """Free exactly what nothing uses: images of versions beyond SKEP_KEEP_VERSIONS, layers of no image."""
    older_than_s = options.seconds(older_than)

    async def act(client: SkepClient) -> PrunedView:
        return await client.images.prune(dry_run=dry_run, older_than_s=older_than_s)

    done = call(act)
    if as_json:
        screen.emit(done)
        return
    if done.layers:
        tables.table(
            ("layer", "kind", "size", Column("about", folds=True, drops=True), Column("used", drops=True)),
            (
                (layer.id[:_SHORT], layer.kind, screen.size(layer.size_bytes), layer.about, layer.used_at)
                for layer in done.layers
            ),
        )
    what = f"{screen.count(len(done.images), 'image')}, {screen.count(len(done.layers), 'layer')}"
    screen.say(f"{'would free' if dry_run else 'freed'} {screen.size(done.freed_bytes)}: {what}")
    if done.packages:
        screen.say(f"and {screen.count(done.packages, 'package file')} out of the cache, by its limits", style="dim")
    if dry_run and (done.layers or done.images):
        screen.say("next: skep images prune", style="bold")
