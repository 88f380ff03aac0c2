"""What builds left goes when nothing can need it any more; what a build counts on stays."""

import asyncio
from dataclasses import replace

import pytest
from building import BuildingDriver

from skep.kernel.clock import to_ms
from skep.kernel.errors import ConflictError
from skep.product.blobs.sweep import Files
from skep.product.images.layers.clearing import UNUSED_S, Clearing, LayerRetention, LayerRules, Shelf, Shelved, due
from skep.product.images.model import FilesSource, ImageId, Layer, LayerKind, UploadSource
from skep.product.images.retention import ImageRetention
from skep.product.sandboxes.model import LayerId
from skep.testing import samples
from skep.testing.clock import ManualClock

A, B, C, D = (LayerId(letter * 64) for letter in "abcd")
DAY_MS = 86_400_000
SOURCE = FilesSource(files={"main.py": "1"})


class Machine:
    """Layers on a machine; a test can stop it in the middle of a removal."""

    def __init__(self, *layers):
        self.there = set(layers)
        self.in_use = set()
        self.removing = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def seal(self, handle, paths, layer_id, *, writable, changes=False):
        """Nothing is sealed here."""
        raise NotImplementedError

    async def layers(self):
        """List them."""
        return sorted(self.there)

    async def drop_layer(self, layer_id):
        """Remove one, when the test lets it."""
        self.removing.set()
        await self.go_on.wait()
        if layer_id in self.in_use:
            raise ConflictError("a sandbox uses the layer", code="layer_in_use")
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
def clearing(db, stores, machine, shelf):
    """What removes layers of that machine."""
    return Clearing(db, stores.images, machine, shelf, node_id="node")


@pytest.fixture
def retention(clearing, clock):
    """The retention of that machine."""
    return LayerRetention(clearing, clock)


def row(layer, **changes):
    """Return the row of a layer that was used at 0 and has 10 bytes."""
    usual = {"kind": LayerKind.SHARED, "about": "", "size": 10, "created_ms": 0, "used_ms": 0}
    return Layer(id=layer, node_id="node", **{**usual, **changes})


async def test_a_layer_without_a_row_goes_after_a_while(retention, machine, clock):
    """Not when it is first seen so: the build that sealed it may be about to write its row."""
    assert await retention.prune() == 0
    clock.advance(UNUSED_S - 1)
    machine.there.add(C)
    assert await retention.prune() == 0
    clock.advance(1)
    assert await retention.prune() == 2
    assert machine.there == {C}


async def test_a_row_without_a_layer_goes(retention, machine, db, stores):
    """Somebody removed it by hand, or a crash came between the two."""
    await db.write(lambda tx: stores.images.save_layer(tx, row(C)))
    await retention.prune()
    assert await db.read(lambda tx: stores.images.layers(tx, "node")) == []


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        (LayerRules(unused_ms=100), ""),
        (LayerRules(unused_ms=100, total_bytes=40), ""),
        (LayerRules(unused_ms=90), "a"),
        (LayerRules(unused_ms=50), "ab"),
        (LayerRules(unused_ms=100, age_ms=70), "b"),
        (LayerRules(unused_ms=100, total_bytes=39), "a"),
        (LayerRules(unused_ms=100, total_bytes=20), "ab"),
        (LayerRules(unused_ms=100, total_bytes=0), "abd"),
        (LayerRules(unused_ms=50, total_bytes=20), "ab"),
    ],
)
def test_what_the_rules_say(rules, gone):
    """By age, by last use, by all their sizes together: what was used longest ago first, never what an image names."""
    rows = (
        row(A, used_ms=10, created_ms=90),
        row(B, used_ms=20, created_ms=20),
        row(C, used_ms=30),
        row(D, used_ms=99, created_ms=99),
    )
    shelved = Shelved(rows=rows, unaccounted=frozenset(), named=frozenset({C}))

    found = list(due(shelved, rules, now_ms=100))

    assert "".join(layer[0] for layer in found) == gone


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


async def test_a_layer_that_a_sandbox_stands_on_waits(retention, machine, clock):
    """A run may go on with an image that is gone already; the others go."""
    machine.in_use = {A}
    await retention.prune()
    clock.advance(UNUSED_S)
    assert await retention.prune() == 1
    assert machine.there == {A}
    machine.in_use = set()
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


async def test_an_image_that_comes_in_between_saves_its_layers(make_rig_on, db, build_driver):
    """A build whose image is committed while it is looked what to remove loses nothing, nor does the one after it."""
    rig = make_rig_on(db, build_driver)
    rules = LayerRules(unused_ms=0)
    clearing = Clearing(db, rig.stores.images, build_driver, rig.shelf, node_id="node")
    retention = LayerRetention(clearing, rig.clock, rules)
    async with rig.life():
        first = await rig.built(SOURCE)
        layers = (await rig.image_of(first)).layers
        assert await retention.prune() == 0
        assert set(await build_driver.layers()) == set(layers)
        assert (await rig.image_of(await rig.built(SOURCE))).layers == layers


async def test_what_is_asked_for_goes_only_if_nothing_uses_it(clearing, machine, db, stores, shelf):
    """Neither what an image names nor what a build holds goes by hand, either; what went has no row any more."""
    image = replace(samples.IMAGE, node_id="node", layers=(B,))

    def fill(tx):
        for layer in (A, B, C):
            stores.images.save_layer(tx, row(layer))
        stores.images.insert_image(tx, image)

    machine.there.add(C)
    await db.write(fill)
    with shelf.holding() as hold:
        await hold([C])
        assert clearing.held() == {C}
        assert await clearing.drop([A, B, C]) == [A]
    assert machine.there == {B, C}
    assert await db.read(lambda tx: stores.images.layers(tx, "node")) == [row(B), row(C)]


async def test_images_builds_and_uploads_go(make_rig_on, db, build_driver):
    """All that one build left, log and archive included; then its layers are nobody's."""
    rig = make_rig_on(db, build_driver)
    files = Files(logs=rig.logs, blobs=rig.blobs)
    clock = ManualClock()
    clock.advance((to_ms(rig.clock.now()) - clock.now_ms()) / 1000)
    retention = ImageRetention(db, rig.stores.images, files, clock, keep_ms=2 * DAY_MS, keep_versions=10)

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
