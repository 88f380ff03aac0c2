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


class ImageStore(Protocol):
    """Rows of builds, images, uploads."""

    def insert_build(self, tx: Tx, build: Build) -> None:
        """Add a build."""
        ...

    def save_build(self, tx: Tx, build: Build) -> None:
        """Replace the build's row."""
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

    def prune_images(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete images made before *before_ms* that no version names, at most *limit*; return how many."""
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
