"""What a build needs from outside, and whom it tells."""

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.blobs.model import Released
from skep.product.images.model import (
    Build,
    BuildId,
    Image,
    ImageId,
    Layer,
    Recognised,
    SourceListing,
    Upload,
    UploadId,
)
from skep.product.sandboxes.model import LayerId
from skep.product.work.model import NewWork, WorkId


class Framework(Protocol):
    """Recognises one kind of project. Pure: it sees names and texts, and runs nothing."""

    name: str
    #: Lower is asked first.
    order: int
    #: File names or glob patterns whose text it wants to see.
    reads: tuple[str, ...]
    #: One sentence: what makes a source one of these; shown when nothing was recognised.
    looks_for: str
    # A framework may also have `over: tuple[str, ...]`: names of more general ones that fit whenever it does.

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Return how the source is installed and started, or None if it is none of these.

        Raises:
            InvalidError: it is one of these, and wrong; the message says what to mend.
        """
        ...


@runtime_checkable
class Overrides(Protocol):
    """Extra of a framework: what a source says of itself goes over what all of them recognise."""

    def override(self, listing: SourceListing, found: Recognised | None) -> Recognised | None:
        """Return *found* (None: nothing was recognised) with what the source says put over it.

        Raises:
            InvalidError: what the source says is wrong; the message says where.
        """
        ...


@runtime_checkable
class Chooses(Protocol):
    """Extra of a framework: a source may say itself which one it is of."""

    def chosen(self, listing: SourceListing) -> str:
        """Return the name of the framework that the source asks for; "" if it does not say.

        Raises:
            InvalidError: what the source says is wrong; the message says where.
        """
        ...


@runtime_checkable
class TakesCommands(Protocol):
    """Extra of a framework: it knows what a source needs that only its command makes an agent."""

    def by_command(self, listing: SourceListing, command: tuple[str, ...]) -> Recognised:
        """Return what is known of the source beside its *command*, which the owner gave.

        Raises:
            InvalidError: a file of the source is wrong; the message says what to mend.
        """
        ...


@runtime_checkable
class TellsWhyNot(Protocol):
    """Extra of a framework: it knows why a source that looks like one of its own is none."""

    def why_not(self, listing: SourceListing) -> str:
        """Return what is missing in a source that nobody recognised, in one sentence; "" if it is nothing like it."""
        ...


class BuildListener(Protocol):
    """Is told, in the same transaction, when a build is over."""

    def build_ended(self, tx: Tx, build: Build, image: Image | None) -> None:
        """Act on the end of *build*; *image* is there if it succeeded."""
        ...


class Queue(Protocol):
    """What builds need of the durable work; `WorkService` is it."""

    def new_id(self) -> WorkId:
        """Make the id of a new piece of work."""
        ...

    def enqueue(self, tx: Tx, work: NewWork) -> None:
        """Add a piece of work."""
        ...

    def request_cancel(self, tx: Tx, kind: str, ref: str) -> bool:
        """Ask for the end of the work on *ref*; True if somebody holds it and will be told."""
        ...


class LayerStore(Protocol):
    """Rows of sealed layers, and of what was found out before they were made."""

    def save_layer(self, tx: Tx, layer: Layer) -> None:
        """Add a layer's row, or replace the one of its machine and id."""
        ...

    def layers(self, tx: Tx, node_id: str) -> list[Layer]:
        """Return the rows of a machine, the one that was used longest ago first."""
        ...

    def use_layers(self, tx: Tx, node_id: str, ids: Collection[LayerId], *, now_ms: int) -> list[Layer]:
        """Note that a build counts on those of *ids* that have a row; return these."""
        ...

    def forget_layers(self, tx: Tx, node_id: str, ids: Collection[LayerId]) -> None:
        """Remove the rows of layers that are gone."""
        ...

    def lock(self, tx: Tx, project_id: str, key: str, *, now_ms: int) -> str | None:
        """Return the text that a project keeps under *key*, and note its use; None if there is none."""
        ...

    def keep_lock(self, tx: Tx, project_id: str, key: str, text: str, *, now_ms: int) -> None:
        """Keep *text* under *key*, in place of what was there."""
        ...

    def forget_lock(self, tx: Tx, project_id: str, key: str) -> None:
        """Delete what a project keeps under *key*; nothing being there is no error."""
        ...

    def prune_locks(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete what was not used since *before_ms*, at most *limit*; return how many."""
        ...


class ImageStore(LayerStore, Protocol):
    """Rows of builds, images, uploads; and of layers."""

    def insert_build(self, tx: Tx, build: Build) -> None:
        """Add a build."""
        ...

    def save_build(self, tx: Tx, build: Build) -> None:
        """Replace the build's row."""
        ...

    def count_unfinished_builds(self, tx: Tx, project_id: str) -> int:
        """Return how many builds of the project are not over."""
        ...

    def build(self, tx: Tx, build_id: BuildId) -> Build | None:
        """Return the build of this id."""
        ...

    def builds(self, tx: Tx, project_id: str, agent_id: str | None, query: PageQuery) -> Page[Build]:
        """List builds of a project, or of one agent, newest first."""
        ...

    def insert_image(self, tx: Tx, image: Image) -> None:
        """Add an image."""
        ...

    def image(self, tx: Tx, image_id: ImageId) -> Image | None:
        """Return the image of this id."""
        ...

    def layers_in_use(self, tx: Tx, node_id: str) -> set[LayerId]:
        """Return the layers that any image names."""
        ...

    def insert_upload(self, tx: Tx, upload: Upload) -> None:
        """Add an upload."""
        ...

    def upload(self, tx: Tx, upload_id: UploadId) -> Upload | None:
        """Return the upload of this id."""
        ...

    def prune_images(self, tx: Tx, *, before_ms: int, keep_versions: int, limit: int) -> int:
        """Delete images made before *before_ms* that nothing needs, at most *limit*; return how many.

        What is needed says `CatalogueStore.unneeded`.
        """
        ...

    def prune_builds(self, tx: Tx, *, before_ms: int, keep: int, limit: int) -> Released:
        """Delete builds that ended before *before_ms*, oldest first, at most *limit*.

        Those whose image is still there stay, and the newest *keep* of each agent that is not removed.
        """
        ...

    def prune_uploads(self, tx: Tx, *, before_ms: int, limit: int) -> Released:
        """Delete uploads made before *before_ms*, at most *limit*.

        Those that an unfinished build is made from, or an agent's next one would be, stay.
        """
        ...

    def named(self, tx: Tx, files: Collection[str]) -> set[str]:
        """Return those of the logs and blobs *files* that a build or an upload names."""
        ...
