"""How long versions are kept: as long as a run can be looked at that they ran, or they are what an agent runs."""

from skep.kernel.batches import in_batches
from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database
from skep.product.agents.ports import AgentStore

_AT_ONCE = 500


class VersionRetention:
    """Deletes old versions that nothing refers to; their images are free with that."""

    def __init__(self, db: Database, store: AgentStore, clock: Clock, *, keep_ms: int) -> None:
        self._db = db
        self._store = store
        self._clock = clock
        self._keep_ms = keep_ms

    async def prune(self) -> int:
        """Delete what is too old; return how many versions that were."""
        return await in_batches(self._batch, size=_AT_ONCE)

    async def _batch(self) -> int:
        before_ms = to_ms(self._clock.now()) - self._keep_ms
        return await self._db.write(lambda tx: self._store.prune_versions(tx, before_ms=before_ms, limit=_AT_ONCE))
