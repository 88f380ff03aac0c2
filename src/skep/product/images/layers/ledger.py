"""What is kept account of beside builds: the layers of this machine, and what was found out of a project's locks.

A row of a layer is written when the layer is whole on disk. A crash in between leaves a layer without a row: nobody
counts on it before it has one, and retention finds it on the disk itself.
"""

from collections.abc import Collection, Mapping

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database
from skep.product.images.model import Layer, LayerKind
from skep.product.images.planning.steps import LayerPlan
from skep.product.images.ports import LayerStore
from skep.product.sandboxes.model import LayerId

#: Kinds that belong to no project.
SHARED = (LayerKind.RUNTIME, LayerKind.SHARED)


class Ledger:
    """Rows of layers and locks, as builds write them."""

    def __init__(self, db: Database, store: LayerStore, clock: Clock, *, node_id: str) -> None:
        self._db = db
        self._store = store
        self._clock = clock
        self._node_id = node_id

    async def count_on(self, ids: Collection[LayerId]) -> Mapping[LayerId, int]:
        """Note that a build counts on *ids*; return the size of each that has a row."""
        now_ms = self._now_ms()
        found = await self._db.write(lambda tx: self._store.use_layers(tx, self._node_id, ids, now_ms=now_ms))
        return {layer.id: layer.size for layer in found}

    async def sealed(self, plan: LayerPlan, project_id: str, size: int) -> None:
        """Add the row of a layer that is on disk now."""
        now_ms = self._now_ms()
        layer = Layer(
            id=plan.id,
            node_id=self._node_id,
            kind=plan.kind,
            project_id="" if plan.kind in SHARED else project_id,
            about=plan.about,
            size=size,
            created_ms=now_ms,
            used_ms=now_ms,
        )
        await self._db.write(lambda tx: self._store.save_layer(tx, layer))

    async def lock(self, project_id: str, key: str) -> str | None:
        """Return what was found out under *key*, and note its use."""
        now_ms = self._now_ms()
        return await self._db.write(lambda tx: self._store.lock(tx, project_id, key, now_ms=now_ms))

    async def keep_lock(self, project_id: str, key: str, text: str) -> None:
        """Keep what was found out."""
        now_ms = self._now_ms()
        await self._db.write(lambda tx: self._store.keep_lock(tx, project_id, key, text, now_ms=now_ms))

    async def forget_lock(self, project_id: str, key: str) -> None:
        """Remove what was found out; nothing being there is no error."""
        await self._db.write(lambda tx: self._store.forget_lock(tx, project_id, key))

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())
