"""A look at a repository: what it answers, and that no sandbox of it outlives it; no sandbox is real here."""

from dataclasses import replace

import pytest
from building import BuildingDriver

from skep.kernel.secret import Secret
from skep.product.gateway.resolver import SystemResolver
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetch.looking import Looker
from skep.product.images.model import GitSource
from skep.product.sandboxes.model import Phase, Sandbox, SandboxId
from skep.product.work.model import NewWork, WorkId
from skep.testing.behaviour import Behaviour

GIT = GitSource(url="https://git.example/a.git", ref="main", secret="TOKEN")
COMMIT = "a" * 40
OWNER = "wrk_01m7x1czs086dy0przdn7w6bzz"


@pytest.fixture
def driver():
    """A driver that knows what the repository has."""
    made = BuildingDriver()
    made.behaviours["ls-remote"] = Behaviour(stdout=f"{COMMIT}\trefs/heads/main\n")
    return made


@pytest.fixture
def rig(make_rig_on, db, driver):
    """A server's parts, on each database."""
    return make_rig_on(db, driver)


@pytest.fixture
async def looker(rig):
    """What looks, for a project that has the secret."""
    await rig.secrets.put(rig.principal, "TOKEN", Secret("glpat-0123456789"))
    return Looker(
        db=rig.db, sandboxes=rig.stores.sandboxes, work=rig.stores.work, driver=rig.driver, logs=rig.logs,
        keyring=rig.keyring, resolver=SystemResolver(), clock=rig.clock, ids=rig.ids, node_id="node",
        options=rig.options,
    )  # fmt: skip


async def left_behind(rig, owner: str, node: str = "node") -> SandboxId:
    """Be a look that died when its sandbox was intended."""
    sandbox = Sandbox(
        id=SandboxId(rig.ids.new("sbx", 1)), project_id="prj_1", node_id=node, owner=owner, phase=Phase.INTENDED,
        handle=None, created_ms=1,
    )  # fmt: skip
    await rig.db.write(lambda tx: rig.stores.sandboxes.insert(tx, sandbox))
    return sandbox.id


async def test_it_answers_and_leaves_nothing(rig, looker, driver) -> None:
    """The commit of the branch; git was only asked, nothing was fetched, and no argv has the token."""
    assert await looker.look("prj_1", GIT, OWNER) == COMMIT
    await rig.nothing_left()
    assert not driver.running("fetch")
    assert not any("glpat" in word for argv in driver.ran for word in argv)


async def test_what_an_earlier_try_left_is_removed_first(rig, looker) -> None:
    """The same piece of work, taken up again after a crash, has one sandbox at a time and in the end none."""
    await left_behind(rig, OWNER)
    assert await looker.look("prj_1", GIT, OWNER) == COMMIT
    await rig.nothing_left()


async def test_a_branch_that_is_gone_is_named(rig, looker, driver) -> None:
    """Nothing is listed: the ref is not there, and the sandbox goes all the same."""
    driver.behaviours["ls-remote"] = Behaviour(stdout="")
    with pytest.raises(BuildFailedError) as caught:
        await looker.look("prj_1", GIT, OWNER)
    assert caught.value.failure.code == "ref_not_found"
    await rig.nothing_left()


async def test_the_start_of_a_commit_is_no_name(looker, driver) -> None:
    """Perhaps a branch was called so and is gone; if it is a commit, who polls it is told that this leads nowhere."""
    driver.behaviours["ls-remote"] = Behaviour(stdout="")
    with pytest.raises(BuildFailedError) as caught:
        await looker.look("prj_1", replace(GIT, ref="abcdef0"), OWNER)
    assert caught.value.failure.code == "ref_not_found"
    assert "never becomes another" in caught.value.failure.hint


async def test_a_sandbox_that_nobody_goes_on_with_is_given_up(rig, looker) -> None:
    """Work that is over or gone owns nothing; work that goes on keeps what it has, builds and runs too."""
    work = NewWork(id=WorkId(OWNER), kind="poll", ref="agt_1", project_id="prj_1")
    await rig.db.write(lambda tx: rig.stores.work.enqueue(tx, work))
    mine = await left_behind(rig, OWNER)
    build = await left_behind(rig, "bld_1")
    gone = await left_behind(rig, "wrk_01m7x1czs086dy0przdn7w6bzy")

    await looker.sweep()

    rows = await rig.db.read(lambda tx: rig.stores.sandboxes.of_node(tx, "node"))
    assert {row.id: row.phase for row in rows} == {
        mine: Phase.INTENDED,
        build: Phase.INTENDED,
        gone: Phase.DESTROYING,
    }
