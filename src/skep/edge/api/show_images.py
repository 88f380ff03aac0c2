"""Images and layers become shapes of answers."""

from skep.edge.wire import images
from skep.kernel.clock import from_ms
from skep.product.images.layers.care import KeptLayer
from skep.product.images.layers.catalogue import KeptImage, Pruned, Shown
from skep.product.images.model import Layer


def listing(given: Shown) -> images.ImageListing:
    """Render a page of images."""
    return images.ImageListing(
        items=[image(kept) for kept in given.page.items], next=given.page.next, disk_bytes=given.disk_bytes
    )


def image(given: KeptImage) -> images.ImageView:
    """Render an image."""
    found = given.image
    return images.ImageView(
        id=found.id,
        project_id=found.project_id,
        framework=found.recognised.framework,
        commit=found.commit,
        used_by=[
            images.ImageUseView(
                agent_id=use.agent_id, agent_name=use.agent_name, version=use.number, current=use.current
            )
            for use in given.uses
        ],
        layers=[_of_image(layer) for layer in given.layers],
        size_bytes=sum(layer.size for layer in given.layers) if given.layers else found.size,
        created_at=from_ms(found.created_ms),
    )


def _of_image(given: Layer) -> images.ImageLayerView:
    return images.ImageLayerView(
        id=given.id,
        kind=given.kind,
        about=given.about,
        size_bytes=given.size,
        shared=not given.project_id,
        used_at=from_ms(given.used_ms),
    )


def layer(given: KeptLayer) -> images.LayerView:
    """Render a layer."""
    found = given.layer
    return images.LayerView(
        id=found.id,
        kind=found.kind,
        about=found.about,
        size_bytes=found.size,
        project_id=found.project_id or None,
        in_use=given.in_use,
        created_at=from_ms(found.created_ms),
        used_at=from_ms(found.used_ms),
    )


def pruned(given: Pruned, *, dry_run: bool) -> images.PrunedView:
    """Render what went, or would go."""
    return images.PrunedView(
        dry_run=dry_run,
        images=list(given.images),
        layers=[
            images.PrunedLayer(
                id=found.id,
                kind=found.kind,
                about=found.about,
                size_bytes=found.size,
                used_at=from_ms(found.used_ms),
            )
            for found in given.layers
        ],
        freed_bytes=given.freed_bytes,
        packages=given.packages,
    )
