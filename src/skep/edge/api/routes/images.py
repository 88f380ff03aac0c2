"""/images and /layers: what is built, what it takes, and how that is freed."""

from typing import Annotated

from fastapi import Body, Request

from skep.edge.api import show_images
from skep.edge.api.auth import Admin, Reader, project_of
from skep.edge.api.query import paging
from skep.edge.api.routing import Uses, native
from skep.edge.wire.common import Listing
from skep.edge.wire.images import ImageListing, LayerView, PrunedView, PruneImages
from skep.kernel.paging import PageQuery

router = native("images")


@router.get("/images")
async def list_images(
    request: Request, caller: Reader, uses: Uses, query: Annotated[PageQuery, paging()]
) -> ImageListing:
    """List the images of the project, newest first; the installation's admin sees all unless it names a project."""
    everywhere = caller.everywhere and project_of(request) is None
    return show_images.listing(await uses.catalogue.images(caller, query, all_projects=everywhere))


@router.get("/layers")
async def list_layers(caller: Reader, uses: Uses) -> Listing[LayerView]:
    """List the layers of this machine that are the project's or shared, the one used longest ago first."""
    return Listing(items=[show_images.layer(kept) for kept in await uses.catalogue.layers(caller)])


@router.post("/images/prune")
async def prune_images(caller: Admin, uses: Uses, body: Annotated[PruneImages | None, Body()] = None) -> PrunedView:
    """Free exactly what nothing uses, or say what that would be."""
    asked = body or PruneImages()
    done = await uses.catalogue.prune(caller, dry_run=asked.dry_run, older_than_s=asked.older_than_s)
    return show_images.pruned(done, dry_run=asked.dry_run)
