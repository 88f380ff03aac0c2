"""What is built, and what that takes: images with those that name them and the layers that they lie on.

Layers may belong to all projects, so a size stands for a folder on disk, not for what somebody alone takes of it:
sums count each folder once.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.access.model import Principal, Scope
from skep.product.access.service import AccessService, require
from skep.product.images.layers.care import ImageCare, KeptLayer
from skep.product.images.model import Image, ImageId, Layer
from skep.product.sandboxes.model import LayerId


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUse:
    """A version that names an image."""

    image_id: ImageId
    agent_id: str
    agent_name: str
    #: The version's number.
    number: int
    #: True if the agent, which is not removed, runs it now.
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptImage:
    """An image, who names it, and the layers that it lies on, lowest first."""

    image: Image
    uses: tuple[ImageUse, ...]
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A page of images, and what they take."""

    page: Page[KeptImage]
    #: Bytes of all layers that the caller may see, used or not, each counted once.
    disk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What went, or would go."""

    images: tuple[ImageId, ...]
    layers: tuple[Layer, ...]
    freed_bytes: int
    #: Files of packages that went out of the cache by its own limits; looked at only when something really goes.
    packages: int = 0


class CatalogueStore(Protocol):
    """Rows of images, read and removed together with what names them; a project None stands for all of them."""

    def images(self, tx: Tx, node_id: str, project_id: str | None, query: PageQuery) -> Page[Image]:
        """List the images of a machine, newest first."""
        ...

    def uses(self, tx: Tx, images: Collection[ImageId]) -> list[ImageUse]:
        """Return the versions that name one of *images*, by agent and number."""
        ...

    def needs(self, tx: Tx, node_id: str) -> Counter[LayerId]:
        """Count, for each layer, the images that name it."""
        ...

    def unneeded(
        self, tx: Tx, node_id: str, project_id: str | None, *, before_ms: int, keep_versions: int
    ) -> list[Image]:
        """Return the images made up to *before_ms* that nothing needs.

        Needed is what a living agent runs now, what one of its newest *keep_versions* versions names, and what a run
        that is not over was accepted with.
        """
        ...

    def drop(self, tx: Tx, images: Collection[ImageId]) -> None:
        """Delete images; the versions that name them stay, and cannot run."""
        ...


class Catalogue:
    """Shows what is built on this machine, and frees what nothing needs."""

    def __init__(
        self,
        db: Database,
        store: CatalogueStore,
        care: ImageCare,
        access: AccessService,
        clock: Clock,
        *,
        node_id: str,
        keep_versions: int,
        prune_packages: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._db = db
        self._store = store
        self._care = care
        self._access = access
        self._clock = clock
        self._node_id = node_id
        self._keep_versions = keep_versions
        self._prune_packages = prune_packages

    async def images(self, principal: Principal, query: PageQuery, *, all_projects: bool = False) -> Shown:
        """List the images of the project, or, for who is good for all of them, of all; newest first."""
        require(principal, Scope.READ)
        project = None if all_projects and principal.everywhere else principal.project_id
        rows = {kept.layer.id: kept.layer for kept in await self._care.layers(principal)}

        def work(tx: Tx) -> Page[KeptImage]:
            page = self._store.images(tx, self._node_id, project, query)
            uses = self._store.uses(tx, [image.id for image in page.items])
            return Page(items=[_kept(image, uses, rows) for image in page.items], next=page.next)

        return Shown(page=await self._db.read(work), disk_bytes=sum(layer.size for layer in rows.values()))

    async def layers(self, principal: Principal) -> list[KeptLayer]:
        """List the layers, the one that was used longest ago first."""
        return await self._care.layers(principal)

    async def prune(self, principal: Principal, *, dry_run: bool = False, older_than_s: float = 0) -> Pruned:
        """Remove what nothing needs and was not used for *older_than_s*; with *dry_run* only say what that is.

        Whoever is good for all projects does so for all of them, and has the cache of packages keep its limits.
        """
        require(principal, Scope.ADMIN)
        unused_ms = round(older_than_s * 1000)
        before_ms = to_ms(self._clock.now()) - unused_ms
        if dry_run:
            images, vain = await self._db.read(lambda tx: self._unneeded(tx, principal, before_ms))
            freed = await self._care.prune(principal, unused_ms=unused_ms, dry_run=True, named_in_vain=vain)
            return Pruned(images=images, layers=freed.layers, freed_bytes=freed.bytes)
        images = await self._db.write(lambda tx: self._drop(tx, principal, before_ms))
        freed = await self._care.prune(principal, unused_ms=unused_ms)
        packages = await self._prune_packages() if self._prune_packages is not None and principal.everywhere else 0
        done = Pruned(images=images, layers=freed.layers, freed_bytes=freed.bytes, packages=packages)
        await self._db.write(lambda tx: self._record(tx, principal, done))
        return done

    def _record(self, tx: Tx, principal: Principal, done: Pruned) -> None:
        counts = {"images": len(done.images), "layers": len(done.layers)}
        self._access.record(tx, principal, "images.prune", self._node_id, freed_bytes=done.freed_bytes, counts=counts)

    def _drop(self, tx: Tx, principal: Principal, before_ms: int) -> tuple[ImageId, ...]:
        images, _ = self._unneeded(tx, principal, before_ms)
        self._store.drop(tx, images)
        return images

    def _unneeded(
        self, tx: Tx, principal: Principal, before_ms: int
    ) -> tuple[tuple[ImageId, ...], Collection[LayerId]]:
        """Return the images that may go, and the layers that only they name."""
        project = None if principal.everywhere else principal.project_id
        found = self._store.unneeded(tx, self._node_id, project, before_ms=before_ms, keep_versions=self._keep_versions)
        theirs = Counter(layer for image in found for layer in set(image.layers))
        needs = self._store.needs(tx, self._node_id)
        return tuple(image.id for image in found), [layer for layer, count in theirs.items() if count == needs[layer]]


def _kept(image: Image, uses: Collection[ImageUse], rows: dict[LayerId, Layer]) -> KeptImage:
    return KeptImage(
        image=image,
        uses=tuple(use for use in uses if use.image_id == image.id),
        layers=tuple(rows[layer] for layer in image.layers if layer in rows),
    )
