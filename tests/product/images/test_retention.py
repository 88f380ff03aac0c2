"""What builds left goes when nothing can need it any more; what a build counts on stays."""

import asyncio

import pytest
from building import BuildingDriver

from skep.kernel.clock import to_ms
from skep.product.blobs.sweep import Files
from skep.product.images.layers import UNUSED_S, LayerRetention, Shelf
from skep.product.images.model import FilesSource, ImageId, UploadSource
from skep.product.images.retention import ImageRetention
from skep.product.sandboxes.model import LayerId
from skep.testing.clock import ManualClock

A, B, C = (LayerId(letter * 64) for letter in "abc")
DAY_MS = 86_400_000
SOURCE = FilesSource(files={"main.py": "1"})


class Machine:
    """Layers on a machine; a test can stop it in the middle of a removal."""

    def __init__(self, *layers):
        self.there = set(layers)
        self.removing = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def seal(self, handle, paths, layer_id, *, writable):
        """Nothing is sealed here."""
        raise NotImplementedError

    async def layers(self):
        """List them."""
        return sorted(self.there)

    async def drop_layer(self, layer_id):
        """Remove one, when the test lets it."""
        self.removing.set()
        await self.go_on.wait()
        self.there.discard(layer_id)


@pytest.fixture
def machine():
    """A machine with two layers."""
    return Machine(A, B)


@pytest.fixture
def build_driver():
    """A driver that knows builds."""
    return BuildingDriver()


@pytest.fixture
def shelf():
    """Who counts on what."""
    return Shelf()


@pytest.fixture
def retention(db, stores, machine, shelf, clock):
    """The retention of that machine."""
    return LayerRetention(db, stores.images, machine, shelf, clock, node_id="node")


async def test_a_layer_goes_when_it_was_unused_for_a_while(retention, machine, clock):
    """Not when it is first seen so: a build that failed may be repeated, and use it."""
    assert await retention.prune() == 0
    clock.advance(UNUSED_S - 1)
    machine.there.add(C)
    assert await retention.prune() == 0
    clock.advance(1)
    assert await retention.prune() == 2
    assert machine.there == {C}


async def test_a_layer_that_a_build_counts_on_stays(retention, machine, shelf, clock):
    """From before it looks whether the layer is there until after its end."""
    await retention.prune()
    clock.advance(UNUSED_S)
    with shelf.holding() as hold:
        await hold([A, C])
        with shelf.holding() as other:
            await other([A])
        assert await retention.prune() == 1
        assert machine.there == {A}
    assert await retention.prune() == 1


async def test_whoever_wants_a_layer_waits_while_it_is_removed(retention, machine, shelf, clock):
    """So a build that looks after that does not see what is about to go."""
    await retention.prune()
    clock.advance(UNUSED_S)
    machine.go_on.clear()
    pruning = asyncio.create_task(retention.prune())
    await machine.removing.wait()
    with shelf.holding() as hold:
        holding = asyncio.create_task(hold([A]))
        await asyncio.sleep(0)
        assert not holding.done()
        machine.go_on.set()
        await holding
        assert await machine.layers() == []
    assert await pruning == 2


async def test_an_image_that_comes_in_between_saves_its_layers(make_rig_on, db, build_driver, clock):
    """A build whose image is committed while it is looked what to remove loses nothing, nor does the one after it."""
    rig = make_rig_on(db, build_driver)
    retention = LayerRetention(db, rig.stores.images, build_driver, rig.shelf, clock, node_id="node")
    async with rig.life():
        first = await rig.built(SOURCE)
        layers = (await rig.image_of(first)).layers
        await retention.prune()
        clock.advance(2 * UNUSED_S)
        assert await retention.prune() == 0
        assert set(await build_driver.layers()) == set(layers)
        assert (await rig.image_of(await rig.built(SOURCE))).layers == layers


async def test_images_builds_and_uploads_go(make_rig_on, db, build_driver):
    """All that one build left, log and archive included; then its layers are nobody's."""
    rig = make_rig_on(db, build_driver)
    files = Files(logs=rig.logs, blobs=rig.blobs)
    clock = ManualClock()
    clock.advance((to_ms(rig.clock.now()) - clock.now_ms()) / 1000)
    retention = ImageRetention(db, rig.stores.images, files, clock, keep_ms=2 * DAY_MS)

    async def packed():
        yield b"tar"

    async with rig.life():
        upload = await rig.images.upload(rig.principal, packed())
        build = await rig.built(UploadSource(upload_id=upload.id))
    assert await retention.prune() == 0
    clock.advance(DAY_MS / 1000 + 60)
    assert await retention.prune() == 2
    assert await rig.blobs.ids() == []
    assert await rig.db.read(lambda tx: rig.stores.images.image(tx, ImageId(build.image_id))) is None
    assert await rig.db.read(lambda tx: rig.stores.images.layers_in_use(tx, "node")) == set()
    assert await rig.logs.ids() == [build.log_id]
    clock.advance(DAY_MS / 1000)
    assert await retention.prune() == 1
    assert await rig.logs.ids() == []
