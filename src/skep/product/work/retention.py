"""How long work that is over is kept, for the curious: what was done an hour, what was given up a month."""

from skep.kernel.batches import in_batches
from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database
from skep.product.work.ports import WorkStore

_AT_ONCE = 2_000
_KEEP_DONE_MS = 3_600_000
_KEEP_DEAD_MS = 30 * 24 * 3_600_000


class WorkRetention:
    """Deletes items of work that nobody will work on any more."""

    def __init__(self, db: Database, store: WorkStore, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._clock = clock

    async def prune(self) -> int:
        """Delete what is too old; return how many items that were."""
        done = await in_batches(self._done, size=_AT_ONCE)
        return done + await in_batches(self._dead, size=_AT_ONCE)

    async def _done(self) -> int:
        before_ms = to_ms(self._clock.now()) - _KEEP_DONE_MS
        return await self._db.write(lambda tx: self._store.prune(tx, before_ms=before_ms, limit=_AT_ONCE))

    async def _dead(self) -> int:
        before_ms = to_ms(self._clock.now()) - _KEEP_DEAD_MS
        return await self._db.write(lambda tx: self._store.prune_dead(tx, before_ms=before_ms, limit=_AT_ONCE))
