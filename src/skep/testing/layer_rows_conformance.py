"""What every store must do with the rows of layers and of locks, as tests; used by `StoreConformance`."""

from dataclasses import replace

from skep.adapters.storage.stores import Stores
from skep.kernel.database import Database
from skep.product.sandboxes.model import LayerId
from skep.testing import samples

OTHER = replace(samples.LAYER, id=LayerId("f" * 64), used_ms=10)


class LayerRowsConformance:
    """One test a promise of `images.ports.LayerStore`."""

    async def test_layers_are_listed_by_their_last_use(self, db: Database, stores: Stores) -> None:
        """The one that was used longest ago comes first; those of another machine are another's."""
        elsewhere = replace(samples.LAYER, node_id="nod_2")
        for layer in (samples.LAYER, OTHER, elsewhere):
            await db.write(lambda tx, layer=layer: stores.images.save_layer(tx, layer))
        assert await db.read(lambda tx: stores.images.layers(tx, "nod_1")) == [OTHER, samples.LAYER]
        both = (OTHER.id, LayerId("0" * 64))
        used = await db.write(lambda tx: stores.images.use_layers(tx, "nod_1", both, now_ms=99))
        assert used == [replace(OTHER, used_ms=99)]
        assert await db.read(lambda tx: stores.images.layers(tx, "nod_1")) == [samples.LAYER, *used]
        assert await db.read(lambda tx: stores.images.layers(tx, "nod_2")) == [elsewhere]

    async def test_a_layer_that_is_made_again_has_one_row(self, db: Database, stores: Stores) -> None:
        """The newer one is kept; one that is gone has none."""
        again = replace(samples.LAYER, size=1, created_ms=50)
        for layer in (samples.LAYER, again):
            await db.write(lambda tx, layer=layer: stores.images.save_layer(tx, layer))
        assert await db.read(lambda tx: stores.images.layers(tx, "nod_1")) == [again]
        for _ in range(2):
            await db.write(lambda tx: stores.images.forget_layers(tx, "nod_1", [again.id]))
        assert await db.read(lambda tx: stores.images.layers(tx, "nod_1")) == []

    async def test_a_lock_is_its_projects_own(self, db: Database, stores: Stores) -> None:
        """Kept, replaced, found by nobody else; and what was not used for long goes, not what was."""

        async def lock(project: str, key: str, now_ms: int) -> str | None:
            return await db.write(lambda tx: stores.images.lock(tx, project, key, now_ms=now_ms))

        for key, text in (("a", "old"), ("a", "new"), ("b", "other")):
            await db.write(lambda tx, k=key, t=text: stores.images.keep_lock(tx, "prj_1", k, t, now_ms=10))
        found = [await lock("prj_1", "a", 30), await lock("prj_2", "a", 30), await lock("prj_1", "c", 30)]
        assert found == ["new", None, None]
        prune = stores.images.prune_locks
        assert await db.write(lambda tx: prune(tx, before_ms=10, limit=9)) == 0
        assert await db.write(lambda tx: prune(tx, before_ms=30, limit=9)) == 1
        assert [await lock("prj_1", "a", 30), await lock("prj_1", "b", 30)] == ["new", None]
        for project in ("prj_2", "prj_1", "prj_1"):
            await db.write(lambda tx, p=project: stores.images.forget_lock(tx, p, "a"))
            assert await lock("prj_1", "a", 30) == ("new" if project == "prj_2" else None)
