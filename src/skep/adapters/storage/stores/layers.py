"""Rows of sealed layers and of locks."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, bindparam, delete, insert, select, tuple_, update

from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.tables import layers, locks
from skep.kernel.database import Tx
from skep.product.images.model import Layer
from skep.product.sandboxes.model import LayerId


class SqlLayerStore:
    """Implements `images.ports.LayerStore`."""

    def __init__(self) -> None:
        self._layers = Mapper(layers, Layer)
        these: BindParameter[Any] = bindparam("ids", expanding=True)
        of_node, of_these = layers.c.node_id == bindparam("node"), layers.c.id.in_(these)
        self._all_layers = self._layers.select.where(of_node).order_by(layers.c.used_ms, layers.c.id)
        self._some_layers = self._layers.select.where(of_node, of_these).order_by(layers.c.id)
        self._touch_layers = update(layers).where(of_node, of_these).values(used_ms=bindparam("now"))
        self._forget_layers = delete(layers).where(of_node, of_these)
        this_lock = (locks.c.project_id == bindparam("project"), locks.c.key == bindparam("of"))
        self._lock = select(locks.c.text).where(*this_lock)
        self._touch_lock = update(locks).where(*this_lock).values(used_ms=bindparam("now"))
        self._forget_lock = delete(locks).where(*this_lock)
        self._keep_lock = insert(locks)
        key = tuple_(locks.c.project_id, locks.c.key)
        old = select(locks.c.project_id, locks.c.key).where(locks.c.used_ms < bindparam("before_ms"))
        self._prune_locks = delete(locks).where(key.in_(old.order_by(locks.c.used_ms).limit(bindparam("limit"))))

    def save_layer(self, tx: Tx, layer: Layer) -> None:
        """Add a layer's row, or replace the one of its machine and id."""
        self.forget_layers(tx, layer.node_id, [layer.id])
        self._layers.insert(tx, layer)

    def layers(self, tx: Tx, node_id: str) -> list[Layer]:
        """Return the rows of a machine, the one that was used longest ago first."""
        return self._layers.all(tx, self._all_layers, {"node": node_id})

    def use_layers(self, tx: Tx, node_id: str, ids: Collection[LayerId], *, now_ms: int) -> list[Layer]:
        """Note that a build counts on those of *ids* that have a row; return these."""
        values = {"node": node_id, "ids": sorted(ids)}
        on(tx).execute(self._touch_layers, values | {"now": now_ms})
        return self._layers.all(tx, self._some_layers, values)

    def forget_layers(self, tx: Tx, node_id: str, ids: Collection[LayerId]) -> None:
        """Remove the rows of layers that are gone."""
        on(tx).execute(self._forget_layers, {"node": node_id, "ids": sorted(ids)})

    def lock(self, tx: Tx, project_id: str, key: str, *, now_ms: int) -> str | None:
        """Return the text that a project keeps under *key*, and note its use."""
        values = {"project": project_id, "of": key}
        on(tx).execute(self._touch_lock, values | {"now": now_ms})
        return on(tx).execute(self._lock, values).scalar_one_or_none()

    def keep_lock(self, tx: Tx, project_id: str, key: str, text: str, *, now_ms: int) -> None:
        """Keep *text* under *key*, in place of what was there."""
        self.forget_lock(tx, project_id, key)
        row = {"project_id": project_id, "key": key, "text": text, "created_ms": now_ms, "used_ms": now_ms}
        on(tx).execute(self._keep_lock, row)

    def forget_lock(self, tx: Tx, project_id: str, key: str) -> None:
        """Delete what a project keeps under *key*; nothing being there is no error."""
        on(tx).execute(self._forget_lock, {"project": project_id, "of": key})

    def prune_locks(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete what was not used since *before_ms*, at most *limit*."""
        return on(tx).execute(self._prune_locks, {"before_ms": before_ms, "limit": limit}).rowcount
