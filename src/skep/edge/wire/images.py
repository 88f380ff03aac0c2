"""What is built, and what that takes on disk."""

from typing import Annotated

from pydantic import Field

from skep.edge.wire.common import Answer, RequestBody, Time
from skep.product.images.model import LayerKind


class LayerView(Answer):
    """A folder on disk that images lie on."""

    id: str
    kind: LayerKind
    #: In a few words: "57 packages for Python 3.11".
    about: str
    size_bytes: int
    #: Null for a layer that all projects share.
    project_id: str | None = None
    #: True if an image names it: then it stays.
    in_use: bool
    created_at: Time
    #: When a build last counted on it.
    used_at: Time


class ImageLayerView(Answer):
    """A layer of an image."""

    id: str
    kind: LayerKind
    about: str
    size_bytes: int
    #: True if all projects share it.
    shared: bool
    used_at: Time


class ImageUseView(Answer):
    """A version that names an image."""

    agent_id: str
    agent_name: str
    version: int
    #: True if that is what the agent runs now.
    current: bool


class ImageView(Answer):
    """An image."""

    id: str
    project_id: str
    framework: str
    commit: str
    #: Who names it; empty if no version is left.
    used_by: list[ImageUseView]
    #: Lowest first.
    layers: list[ImageLayerView]
    #: All of its layers together, shared ones too.
    size_bytes: int
    created_at: Time


class ImageListing(Answer):
    """Some images, the cursor of the next page, and what all layers take that the caller may see."""

    items: list[ImageView]
    next: str | None = None
    #: Each layer counted once, those that no image names too.
    disk_bytes: int


class PruneImages(RequestBody):
    """`POST /images/prune`; the body may be left out."""

    #: Only says what would go.
    dry_run: bool = False
    #: Only what was not used for so long.
    older_than_s: Annotated[float, Field(ge=0, le=315_360_000)] = 0


class PrunedLayer(Answer):
    """A layer that went, or would."""

    id: str
    kind: LayerKind
    about: str
    size_bytes: int
    used_at: Time


class PrunedView(Answer):
    """What went, or would go."""

    dry_run: bool
    #: Ids.
    images: list[str]
    layers: list[PrunedLayer]
    freed_bytes: int
    #: Package files that went out of the cache by its own limits; 0 in a dry run.
    packages: int
