"""How long images, builds, uploads and locks are kept: as long as something can still need them."""

from collections.abc import Callable

from skep.kernel.batches import in_batches
from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.product.blobs.model import Released
from skep.product.blobs.sweep import Files
from skep.product.images.ports import ImageStore

_AT_ONCE = 100
#: An image and the version that names it are one commit: what is older and without a version never gets one.
_IMAGE_MS = 3_600_000
#: Time in which an upload, once it is complete, has to become the source of an agent or of a build.
_UPLOAD_MS = 24 * 3_600_000
#: Of the answer which files exactly a source depends on, since a build last used it.
_LOCK_MS = 30 * 24 * 3_600_000
#: So many builds of an agent can be looked at, however old they are.
KEEP_BUILDS = 10


class ImageRetention:
    """Deletes images that nothing needs, old builds, and uploads and locks that no build needs any more."""

    def __init__(
        self, db: Database, store: ImageStore, files: Files, clock: Clock, *, keep_ms: int, keep_versions: int
    ) -> None:
        self._db = db
        self._store = store
        self._files = files
        self._clock = clock
        self._keep_ms = keep_ms
        self._keep_versions = keep_versions

    async def prune(self) -> int:
        """Delete what nothing needs; return how many rows that were. Layers are `LayerRetention`'s."""
        images = await in_batches(lambda: self._batch(self._images), size=_AT_ONCE)
        builds = await in_batches(lambda: self._batch(self._builds), size=_AT_ONCE)
        uploads = await in_batches(lambda: self._batch(self._uploads), size=_AT_ONCE)
        locks = await in_batches(lambda: self._batch(self._locks), size=_AT_ONCE)
        return images + builds + uploads + locks

    async def _batch(self, prune: Callable[[Tx, int], Released]) -> int:
        now_ms = to_ms(self._clock.now())
        released = await self._db.write(lambda tx: prune(tx, now_ms))
        await self._files.delete(released)
        return released.count

    def _images(self, tx: Tx, now_ms: int) -> Released:
        count = self._store.prune_images(
            tx, before_ms=now_ms - _IMAGE_MS, keep_versions=self._keep_versions, limit=_AT_ONCE
        )
        return Released(count=count)

    def _builds(self, tx: Tx, now_ms: int) -> Released:
        return self._store.prune_builds(tx, before_ms=now_ms - self._keep_ms, keep=KEEP_BUILDS, limit=_AT_ONCE)

    def _locks(self, tx: Tx, now_ms: int) -> Released:
        return Released(count=self._store.prune_locks(tx, before_ms=now_ms - _LOCK_MS, limit=_AT_ONCE))

    def _uploads(self, tx: Tx, now_ms: int) -> Released:
        return self._store.prune_uploads(tx, before_ms=now_ms - _UPLOAD_MS, limit=_AT_ONCE)
