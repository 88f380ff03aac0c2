"""How long runs are kept: so many days after their end, then everything of them goes."""

from skep.kernel.batches import in_batches
from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database
from skep.product.blobs.sweep import Files
from skep.product.runs.ports import RunStore

_AT_ONCE = 100


class RunRetention:
    """Deletes runs that ended long ago, with their attempts, events, artifacts and logs."""

    def __init__(self, db: Database, store: RunStore, files: Files, clock: Clock, *, keep_ms: int) -> None:
        self._db = db
        self._store = store
        self._files = files
        self._clock = clock
        self._keep_ms = keep_ms

    async def prune(self) -> int:
        """Delete what is too old; return how many runs that were."""
        return await in_batches(self._batch, size=_AT_ONCE)

    async def _batch(self) -> int:
        before_ms = to_ms(self._clock.now()) - self._keep_ms
        released = await self._db.write(lambda tx: self._store.prune(tx, before_ms=before_ms, limit=_AT_ONCE))
        await self._files.delete(released)
        return released.count
