"""Layer upon layer: each in a fresh sandbox on those below it, made once, kept account of; no sandbox is real here."""

from dataclasses import replace

import pytest
from building import USUAL, BuildingDriver

from skep.product.images.model import BuildStatus, FilesSource, GitSource, LayerKind, UploadId, UploadSource
from skep.product.sandboxes.model import Phase
from skep.testing.behaviour import FOREVER, Behaviour
from skep.testing.wait import until

GIT = GitSource(url="https://git.example/a.git")
#: A word of the command that makes the private layer.
PRIVATE = "/tmp/skep-hashed.txt"


class StagedDriver(BuildingDriver):
    """Remembers on what each sandbox stood, how many there were at once, and what ran in it."""

    def __init__(self) -> None:
        super().__init__()
        self.stood_on = []
        self.most = 0

    async def create(self, spec):
        """Make it, and take note."""
        self.stood_on.append(spec.layers)
        handle = await super().create(spec)
        self.most = max(self.most, len(self.sandboxes))
        return handle


@pytest.fixture
def driver():
    """A driver that knows builds."""
    return StagedDriver()


@pytest.fixture
def rig(make_rig_on, db, driver):
    """A server's part that builds, on each database."""
    return make_rig_on(db, driver)


async def rows(rig):
    """Return the rows of all layers by their kind."""
    return {row.kind: row for row in await rig.db.read(lambda tx: rig.stores.images.layers(tx, "node"))}


async def test_each_layer_is_made_on_those_below_it(rig, driver) -> None:
    """One sandbox at a time; the shared layer's stands on nothing, the private one's on the shared and the source."""
    async with rig.life():
        build = await rig.built(GIT)
        assert build.failure is None, await rig.log_of(build)
        shared, source, _private = (await rig.image_of(build)).layers
        assert driver.stood_on == [(), (), (shared, source)]
        assert driver.most == 1
        assert [kind.value for kind in sorted(await rows(rig))] == ["private", "shared", "source"]
        await rig.nothing_left()


async def test_layers_are_kept_account_of(rig) -> None:
    """Whose they are, what they hold, how large they are; the image is as large as all of them; a use renews them."""
    async with rig.life():
        build = await rig.built(GIT)
        found = await rows(rig)
        assert {kind: row.project_id for kind, row in found.items()} == {
            LayerKind.SHARED: "", LayerKind.SOURCE: "prj_1", LayerKind.PRIVATE: "prj_1",
        }  # fmt: skip
        assert found[LayerKind.SHARED].about == "1 package for Python 3.11"
        image = await rig.image_of(build)
        assert image.size == sum(row.size for row in found.values()) > 0
        again = await rig.built(GIT)
        assert (await rig.image_of(again)).size == image.size
        assert all(row.used_ms > found[kind].used_ms for kind, row in (await rows(rig)).items())
        assert "Nothing to install" in await rig.log_of(again)


async def test_what_is_there_is_used_again_by_another_project(rig, driver) -> None:
    """The shared layer is; the source and what its code wrote are the project's own. So is what was resolved."""
    async with rig.life():
        mine = await rig.image_of(await rig.built(GIT))
        compiled = driver.ran.copy()
        await rig.built(GIT)
        assert not [argv for argv in driver.ran[len(compiled) :] if "compile" in argv]
        other = await rig.db.write(
            lambda tx: rig.images.begin(tx, project_id="prj_2", agent_id="agt_2", source=GIT, command=())
        )
        rig.principal = replace(rig.principal, project_id="prj_2")
        theirs = await rig.image_of(await rig.ended(other))
        assert theirs.layers[0] == mine.layers[0]
        assert not set(theirs.layers[1:]) & set(mine.layers)
        log = await rig.log_of(other)
        assert f"Shared layer {mine.layers[0][:12]}: 1 package for Python 3.11, used again." in log
        assert f"Private layer {theirs.layers[2][:12]}: 1 package, made in" in log
        assert [argv for argv in driver.ran[len(compiled) :] if "compile" in argv]


async def test_what_code_of_the_sources_changes_is_not_in_its_layer(rig, driver) -> None:
    """The source is sealed before anything of it runs: while the lock is found out, its files may be changed."""
    lock = USUAL["compile"]
    driver.behaviours = {"compile": replace(lock, files={**lock.files, "/app/main.py": "evil", "/app/more": "evil"})}
    async with rig.life():
        layers = (await rig.image_of(await rig.built(GIT))).layers
        for layer in layers:
            assert "/app/more" not in driver.sealed[layer]._nodes
            assert driver.sealed[layer].read_or_nothing("/app/main.py") != b"evil"


async def test_a_layer_without_a_row_gets_one(rig, driver) -> None:
    """A crash came between the two: nothing is installed again, and its size is known all the same."""
    async with rig.life():
        build = await rig.built(GIT)
        before = await rows(rig)
        for layer in (before[LayerKind.SHARED], before[LayerKind.SOURCE]):
            await rig.db.write(lambda tx, layer=layer: rig.stores.images.forget_layers(tx, "node", [layer.id]))
        driver.ran.clear()
        again = await rig.built(GIT)
        assert not driver.running("venv")
        assert (await rig.image_of(again)).layers == (await rig.image_of(build)).layers
        assert {kind: row.size for kind, row in (await rows(rig)).items()} == {
            kind: row.size for kind, row in before.items()
        }


async def test_a_crash_between_two_sandboxes_leaves_nothing(rig, driver) -> None:
    """The next one's intent is on disk, the one before is to go: the next life removes both."""
    driver.behaviours = {"venv": Behaviour(run_for_s=FOREVER)}
    async with rig.life():
        build = await rig.begin(GIT)
        await until(lambda: driver.running("venv"), what="the shared layer")
    current = await rig.look(build)
    left = await driver.create(replace(driver.sandboxes[current.sandbox_id].spec, id="sbx_left"))

    def leave(tx) -> None:
        row = rig.stores.sandboxes.get(tx, current.sandbox_id)
        rig.stores.sandboxes.insert(tx, replace(row, id=left.id, phase=Phase.DESTROYING, handle=left))

    await rig.db.write(leave)
    driver.behaviours = {}
    async with rig.life():
        assert (await rig.ended(build)).status is BuildStatus.SUCCEEDED
        await rig.nothing_left()


async def test_explaining_builds_nothing(rig, driver) -> None:
    """It ends well with what would be built, belongs to no agent, and nobody is told; no layer is made."""
    async with rig.life():
        build = await rig.ended(await rig.images.explain(rig.principal, GIT))
        assert (build.status, build.image_id, build.agent_id) == (BuildStatus.SUCCEEDED, None, "")
        assert build.recognised.framework == "python"
        explained = build.explanation
        assert (explained.shared, explained.private) == (1, ("b",))
        assert [(layer.kind.value, layer.there) for layer in explained.layers] == [
            ("shared", False), ("source", False), ("private", False),
        ]  # fmt: skip
        assert explained.layers[0].steps[0][1] == "venv"
        assert (driver.sealed, rig.listener.ended, driver.most) == ({}, [], 1)
        made = await rig.built(GIT)
        assert made.explanation == explained
        again = await rig.ended(await rig.images.explain(rig.principal, GIT))
        assert all(layer.there for layer in again.explanation.layers)
        await rig.nothing_left()


async def test_a_failed_build_says_what_it_would_have_built(rig, driver) -> None:
    """What was recognised and planned is in it."""
    driver.behaviours = {PRIVATE: Behaviour(stderr="error: no compiler\n", exit_code=1)}
    async with rig.life():
        build = await rig.built(GIT)
        assert build.failure.code == "install_failed"
        assert (build.step, build.recognised.framework, build.explanation.private) == ("installing", "python", ("b",))


async def test_a_cancelled_explanation_is_told_to_nobody(rig) -> None:
    """Also where no builder holds it."""
    async with rig.life():
        pass
    build = await rig.images.explain(rig.principal, FilesSource(files={"main.py": ""}))
    assert (await rig.images.cancel(rig.principal, build.id)).status is BuildStatus.CANCELLED
    assert rig.listener.ended == []


async def test_what_cannot_be_explained_is_refused(rig) -> None:
    """As a build would be."""
    async with rig.life():
        with pytest.raises(Exception, match="There is no upload"):
            await rig.images.explain(rig.principal, UploadSource(upload_id=UploadId("upl_x")))


@pytest.mark.parametrize("answer", ["", "nonsense [", 'lock-version = "9"'])
async def test_a_wrong_lock_fails_the_build_and_is_not_kept(rig, driver, answer) -> None:
    """What was written in the sandbox is untrusted."""
    driver.behaviours = {"compile": Behaviour(files={"/tmp/pylock.toml": answer})}
    async with rig.life():
        assert (await rig.built(GIT)).failure.code == "lock_invalid"
        driver.behaviours = {}
        assert (await rig.built(GIT)).failure is None


async def test_a_kept_lock_that_cannot_be_installed_any_more_is_found_out_anew(rig, driver) -> None:
    """An index that took back a file must not fail every later build of a source that does not change."""
    async with rig.life():
        assert (await rig.built(GIT)).failure is None
        await rig.nothing_left()
        driver.ran.clear()
        for layer in await driver.layers():
            await driver.drop_layer(layer)
        driver.behaviours = {"--find-links": Behaviour(exit_code=1, stderr="no such file")}
        assert (await rig.built(GIT)).status is BuildStatus.FAILED
        assert not [argv for argv in driver.ran if "compile" in argv]
        driver.behaviours = {}
        assert (await rig.built(GIT)).failure is None
        assert [argv for argv in driver.ran if "compile" in argv]
