"""The builder over crashes, cancels and a driver that comes and goes; no sandbox is real here."""

import asyncio
import json
from dataclasses import replace

import pytest
from building import COMMIT, LISTING, BuildingDriver

from skep.kernel.errors import InvalidError, LimitError, NotFoundError
from skep.kernel.paging import PageQuery
from skep.kernel.secret import Secret
from skep.kernel.settings import Settings
from skep.product.access.model import ProjectId
from skep.product.images.fetch.listing import ANSWER
from skep.product.images.model import (
    BuildId,
    BuildStatus,
    FilesSource,
    GitSource,
    ImageSource,
    UploadId,
    UploadSource,
)
from skep.product.images.options import build_options
from skep.product.sandboxes.model import Phase
from skep.product.sandboxes.service import SandboxService
from skep.product.work.model import WorkLimits
from skep.testing.behaviour import FOREVER, Behaviour
from skep.testing.wait import until

GIT = GitSource(url="https://git.example/a.git")
#: A word of the command that makes the private layer.
PRIVATE = "/tmp/skep-hashed.txt"


@pytest.fixture
def driver():
    """A driver that knows builds."""
    return BuildingDriver()


@pytest.fixture
def rig(make_rig_on, db, driver):
    """A server's part that builds, on each database."""
    return make_rig_on(db, driver)


async def test_a_build_goes_through_its_steps(rig, driver) -> None:
    """The image names both layers, the listener is told in the same breath, nothing is left."""
    async with rig.life():
        build = await rig.built(GIT)
        assert build.failure is None, await rig.log_of(build)
        assert (build.status, build.attempt, build.commit, build.step) == (BuildStatus.SUCCEEDED, 1, COMMIT, "")
        image = await rig.image_of(build)
        assert set(image.layers) == set(driver.sealed)
        assert rig.listener.ended == [(build, image)]
        await rig.nothing_left()
        assert (await rig.logs.position(build.log_id)).closed
        assert [b.id for b in (await rig.images.builds(rig.principal, "agt_1", PageQuery())).items] == [build.id]


async def test_what_a_source_says_of_itself(rig, driver) -> None:
    """skep.yaml goes over what is recognised, and is seen in the build; a wrong one fails it, with the place."""

    def listed(text):
        listing = LISTING | {"files": LISTING["files"] | {"skep.yaml": 1}}
        listing["texts"] = LISTING["texts"] | {"skep.yaml": text}
        driver.behaviours = {"list": Behaviour(files={ANSWER: json.dumps(listing)})}

    async with rig.life():
        listed("env: {MODE: fast}\nresources: {pids: 20}")
        made = (await rig.built(GIT)).recognised
        assert (made.env, made.resources.pids) == ({"MODE": "fast"}, 20)
        assert made.evidence[-1] == "skep.yaml: env, resources"
        listed("env: {MODE: fast}\nresource: {}")
        failure = (await rig.built(GIT)).failure
        assert failure.code == "skep_yaml_invalid"
        assert failure.message.startswith(
            "skep.yaml, line 2, column 1: unknown key `resource`; did you mean `resources`?"
        )


async def test_a_crash_at_any_step_is_another_attempt(rig, driver) -> None:
    """In each of them the server dies; the next life makes a new sandbox and succeeds, with what was sealed before."""
    for word in ("fetch", "list", "compile", "venv", "--find-links", PRIVATE):
        driver.behaviours = {word: Behaviour(run_for_s=FOREVER)}
        driver.ran.clear()
        driver.sealed.clear()
        async with rig.life():
            build = await rig.begin(GIT)
            await until(lambda word=word: driver.running(word), what=word)
            first = await rig.look(build)
        assert list(driver.sandboxes) == [first.sandbox_id]
        sealed, driver.behaviours = dict(driver.sealed), {}
        async with rig.life():
            ended = await rig.ended(build)
            assert ended.status is BuildStatus.SUCCEEDED, await rig.log_of(ended)
            assert ended.attempt == 2
            assert ended.sandbox_id != first.sandbox_id
            assert all(driver.sealed[layer] is files for layer, files in sealed.items())
            await rig.nothing_left()
        await rig.db.write(lambda tx: rig.stores.images.prune_locks(tx, before_ms=1 << 60, limit=9))


async def test_a_host_that_the_operator_takes_back(make_rig_on, db, driver) -> None:
    """The build that waits for its next attempt fails at once, and in words: nothing of it was interrupted."""
    rig = make_rig_on(db, driver, git_http_hosts=("git.example:80",))
    await rig.secrets.put(rig.principal, "TOKEN", Secret("hunter2hunter2"))
    driver.behaviours = {"fetch": Behaviour(run_for_s=FOREVER)}
    async with rig.life():
        build = await rig.begin(GitSource(url="http://git.example/a.git", secret="TOKEN"))
        await until(lambda: driver.running("fetch"), what="the fetch")
    without = make_rig_on(db, driver)
    without.lives = rig.lives
    async with without.life():
        ended = await without.ended(build)
        assert (ended.status, ended.attempt, ended.failure.code) == (BuildStatus.FAILED, 2, "git_transport_refused")
        assert "SKEP_GIT_HTTP_HOSTS" in ended.failure.hint
        await without.nothing_left()


async def test_a_crash_before_the_sandbox_was_recorded(rig, driver) -> None:
    """The intent is on disk, the sandbox exists, its handle was never written: it is found and destroyed."""
    driver.behaviours = {"fetch": Behaviour(run_for_s=FOREVER)}
    async with rig.life():
        build = await rig.begin(GIT)
        await until(lambda: driver.running("fetch"), what="the fetch")
        sandbox_id = (await rig.look(build)).sandbox_id

    def forget(tx) -> None:
        row = rig.stores.sandboxes.get(tx, sandbox_id)
        rig.stores.sandboxes.delete(tx, [sandbox_id])
        rig.stores.sandboxes.insert(tx, replace(row, phase=Phase.INTENDED, handle=None))

    await rig.db.write(forget)
    driver.behaviours = {}
    async with rig.life():
        assert (await rig.ended(build)).status is BuildStatus.SUCCEEDED
        await rig.nothing_left()


async def test_another_machine_takes_the_build_over(rig, driver) -> None:
    """What the dead one made is doomed with the intent of the next attempt, and goes when that machine is back."""
    driver.behaviours = {"fetch": Behaviour(run_for_s=FOREVER)}
    async with rig.life():
        build = await rig.begin(GIT)
        await until(lambda: driver.running("fetch"), what="the fetch")
    rig.node, rig.driver = "other", BuildingDriver()
    async with rig.life():
        assert (await rig.ended(build)).status is BuildStatus.SUCCEEDED
    rows = await rig.db.read(lambda tx: rig.stores.sandboxes.of_node(tx, "node"))
    assert [(row.id in driver.sandboxes, row.phase) for row in rows] == [(True, Phase.DESTROYING)]
    await SandboxService(rig.db, rig.stores.sandboxes, driver, "node").reconcile()
    rig.driver = driver
    await rig.nothing_left()


class TooLate(BuildingDriver):
    """Takes so long to make a sandbox that another machine has taken the build over meanwhile."""

    def __init__(self, rig) -> None:
        super().__init__()
        self.rig = rig

    async def create(self, spec):
        """Have it taken over first."""
        stores = self.rig.stores

        def take_over(tx) -> None:
            stores.work.release_owner(tx, ["life 1"])
            stores.work.claim(
                tx, kinds=["build"], owner="other", node_id="other", lease_ms=60_000, key_limits={},
                default_key_limits={}, most=1,
            )  # fmt: skip
            stores.sandboxes.set_phase(tx, spec.id, Phase.DESTROYING)

        await self.rig.db.write(take_over)
        return await super().create(spec)


async def test_a_sandbox_that_is_made_too_late_stays_doomed(rig) -> None:
    """Whoever made it has lost the build meanwhile: what they say of the sandbox counts no more."""
    rig.driver = TooLate(rig)
    async with rig.life():
        await rig.begin(GIT)
        await until(lambda: rig.driver.sandboxes and not rig.work.holding, what="the end of the attempt")
        rows = await rig.db.read(lambda tx: rig.stores.sandboxes.of_node(tx, "node"))
    assert [row.phase for row in rows] == [Phase.DESTROYING]


async def test_after_three_lost_attempts_it_fails(rig, driver) -> None:
    """A build that is interrupted again and again is given up, with a reason."""
    driver.behaviours = {"fetch": Behaviour(run_for_s=FOREVER)}
    build = None
    for _ in range(3):
        driver.ran.clear()
        async with rig.life(max_attempts=3):
            build = build or await rig.begin(GIT)
            await until(lambda: driver.running("fetch"), what="the fetch")
    async with rig.life(max_attempts=3):
        ended = await rig.ended(build)
        assert ended.failure.code == "build_lost"
        assert ended.attempt == 3
        await rig.nothing_left()


async def test_a_sandbox_that_vanishes_is_another_attempt(rig, driver) -> None:
    """What happened to the machine is not the user's fault."""
    driver.behaviours = {"fetch": Behaviour(lost=True)}
    async with rig.life():
        build = await rig.begin(GIT)
        await until(lambda: driver.running("fetch"), what="the fetch")
        driver.behaviours = {}
        ended = await rig.ended(build)
        assert (ended.status, ended.attempt) == (BuildStatus.SUCCEEDED, 2)
        assert "The attempt was lost" in await rig.log_of(ended)
        await rig.nothing_left()


async def test_a_running_build_is_cancelled_at_once(rig, driver) -> None:
    """Its sandbox is gone when the row says so."""
    driver.behaviours = {"venv": Behaviour(run_for_s=FOREVER, ignore_term=True)}
    async with rig.life():
        build = await rig.begin(GIT)
        await until(lambda: driver.running("venv"), what="the installing")
        async with asyncio.timeout(2):
            asked = await rig.images.cancel(rig.principal, build.id)
            assert asked.cancel_requested
            ended = await rig.ended(build)
        assert ended.status is BuildStatus.CANCELLED
        assert driver.sandboxes == {}
        assert (await rig.images.cancel(rig.principal, build.id)).status is BuildStatus.CANCELLED
        assert rig.listener.ended == [(ended, None)]
        await rig.nothing_left()


async def test_a_waiting_build_is_cancelled_without_a_builder(rig, driver) -> None:
    """Nobody holds it: it is over in the same transaction, and its log ends."""
    async with rig.life():
        pass
    build = await rig.begin(GIT)
    ended = await rig.images.cancel(rig.principal, build.id)
    assert ended.status is BuildStatus.CANCELLED
    assert rig.listener.ended == [(ended, None)]
    assert [frame async for frame in rig.images.follow_log(rig.principal, build.id)] == []
    async with rig.life():
        assert (await rig.look(build)).status is BuildStatus.CANCELLED
    assert driver.ran == []


async def test_a_cancel_asked_for_before_a_crash_holds_after_it(rig, driver) -> None:
    """The wish is on disk: the next life ends the build instead of trying again."""
    driver.behaviours = {"fetch": Behaviour(run_for_s=FOREVER)}
    async with rig.life():
        build = await rig.begin(GIT)
        await until(lambda: driver.running("fetch"), what="the fetch")
    asked = await rig.images.cancel(rig.principal, build.id)
    async with rig.life():
        ended = asked if asked.status is BuildStatus.CANCELLED else await rig.ended(build)
        assert ended.status is BuildStatus.CANCELLED
        assert ended.attempt == 1
        await rig.nothing_left()


async def test_no_project_takes_all_places(rig, driver) -> None:
    """While one holds as many as it may, with more waiting, another's build begins at once."""
    rig.limits = WorkLimits(keys={"builds": 3}, key_defaults={"builds": 2})
    driver.behaviours = {"fetch": Behaviour(run_for_s=FOREVER)}
    async with rig.life():
        mine = [await rig.begin(GIT) for _ in range(4)]
        await until(lambda: len(driver.sandboxes) == 2, what="the first two")
        theirs = await rig.begin(GIT, project_id="prj_2")
        await until(lambda: len(driver.sandboxes) == 3, what="the other's")
        states = [(await rig.look(build)).status for build in mine]
        assert states.count(BuildStatus.RUNNING) == 2
        assert states.count(BuildStatus.QUEUED) == 2
        rig.principal = replace(rig.principal, project_id="prj_2")
        assert (await rig.look(theirs)).status is BuildStatus.RUNNING


async def test_only_so_many_builds_of_a_project_wait(rig) -> None:
    """One more is refused in words; those of other projects are not."""
    async with rig.life(max_unfinished=2):
        pass
    for _ in range(2):
        await rig.begin(GIT)
    with pytest.raises(LimitError, match="2 builds of this project") as caught:
        await rig.begin(GIT)
    assert caught.value.code == "queue_full"
    await rig.begin(GIT, project_id="prj_2")


async def test_failures_are_told_in_the_users_terms(rig, driver) -> None:
    """Each has its code, and uv's own words where they say more."""
    solution = "  x No solution found when resolving dependencies:\n  Because a was not found, it cannot be used.\n"
    cases = {
        "dependencies_unresolvable": {"compile": Behaviour(stderr=solution, exit_code=1)},
        "install_failed": {"--find-links": Behaviour(stderr="error: it broke\n", exit_code=2)},
        "ref_not_found": {"fetch": Behaviour(stderr="fatal: couldn't find remote ref x\n", exit_code=128)},
        "repository_unreachable": {"fetch": Behaviour(stderr="fatal: unable to access\n", exit_code=128)},
        "source_too_large": {"list": Behaviour(exit_code=3)},
        "listing_invalid": {"list": Behaviour(files={ANSWER: "[]"})},
        "python_unavailable": {
            "list": Behaviour(
                files={
                    ANSWER: json.dumps(
                        LISTING
                        | {
                            "files": {"main.py": 1, "pyproject.toml": 1},
                            "texts": {"pyproject.toml": '[project]\nname="x"\nrequires-python="<3"'},
                        }
                    )
                }
            )
        },
        "nothing_recognised": {"list": Behaviour(files={ANSWER: json.dumps(LISTING | {"files": {"x": 1}})})},
    }
    async with rig.life():
        for code, behaviours in cases.items():
            driver.behaviours = behaviours
            driver.sealed.clear()
            build = await rig.built(GIT)
            assert build.failure is not None, code
            assert build.failure.code == code, await rig.log_of(build)
            assert code in await rig.log_of(build)
        await rig.nothing_left()


@pytest.mark.parametrize("stage", ["compile", "--find-links", PRIVATE])
async def test_a_limit_that_stops_a_stage_is_named(rig, driver, stage) -> None:
    """While the lock is found out, the shared and the private layer are made: each limit has its own code."""
    cases = {
        "out_of_memory": Behaviour(oom=True),
        "out_of_disk": Behaviour(stderr="error: No space left on device (os error 28)\n", exit_code=2),
        "out_of_processes": Behaviour(too_many=True, exit_code=2),
    }
    async with rig.life():
        for code, behaviour in cases.items():
            driver.behaviours = {stage: behaviour}
            build = await rig.built(GIT)
            assert build.failure is not None, code
            assert build.failure.code == code, await rig.log_of(build)
        await rig.nothing_left()


async def test_the_whole_build_has_a_time_limit(rig, driver) -> None:
    """It holds also where no single command takes long."""
    driver.behaviours = {"venv": Behaviour(run_for_s=FOREVER)}
    async with rig.life(timeout_s=0.3):
        build = await rig.built(GIT)
        assert build.failure.code == "build_timed_out"
        await rig.nothing_left()


async def test_the_indexs_password_is_in_no_log(rig, driver) -> None:
    """Also where it comes in two pieces."""
    driver.behaviours = {"pip": Behaviour(stdout="look: https://me:pa55word@index.example/ and p", exit_code=1)}
    settings = Settings(index_url="https://me:pa55word@index.example/simple")
    async with rig.life(indexes=build_options(settings, uv_version="1").indexes):
        build = await rig.built(GIT)
        log = await rig.log_of(build)
        assert "pa55word" not in log
        assert "look: https://********@index.example/ and p" in log


async def test_a_build_of_another_project_is_not_there(rig) -> None:
    """Looking, cancelling and reading its log all say so."""
    async with rig.life():
        build = await rig.built(GIT)
        stranger = replace(rig.principal, project_id=ProjectId("prj_2"))
        for action in (
            lambda: rig.images.build(stranger, build.id),
            lambda: rig.images.cancel(stranger, build.id),
            lambda: rig.images.log(stranger, build.id),
            lambda: rig.images.image(stranger, build.image_id),
            lambda: rig.images.build(rig.principal, BuildId("bld_x")),
        ):
            with pytest.raises(NotFoundError):
                await action()


async def test_uploads_belong_to_their_project(rig) -> None:
    """A build of somebody else's upload is refused before anything is begun."""

    async def data():
        yield b"bytes"

    async with rig.life():
        upload = await rig.images.upload(replace(rig.principal, project_id=ProjectId("prj_2")), data())
        assert (upload.size, upload.project_id) == (5, "prj_2")
        for upload_id in (upload.id, UploadId("upl_x")):
            with pytest.raises(NotFoundError) as caught:
                await rig.begin(UploadSource(upload_id=upload_id))
            assert caught.value.code == "upload_not_found"


async def test_what_can_never_be_built_is_refused_at_once(rig) -> None:
    """No row is made for it."""
    async with rig.life():
        for source in (ImageSource(name="x"), GitSource(url="file:///etc"), FilesSource(files={})):
            with pytest.raises(InvalidError):
                await rig.begin(source)
        assert (await rig.images.builds(rig.principal, None, PageQuery())).items == []


async def test_the_log_is_followed_while_it_grows(rig, driver) -> None:
    """A follower sees what is there, what comes, and the end."""
    driver.behaviours = {"fetch": Behaviour(run_for_s=FOREVER)}
    async with rig.life():
        build = await rig.begin(GIT)
        await until(lambda: driver.running("fetch"), what="the fetch")
        seen: list[bytes] = []

        async def follow() -> None:
            async for frame in rig.images.follow_log(rig.principal, build.id):
                seen.append(frame.data)  # noqa: PERF401  each is looked at as it comes

        following = asyncio.create_task(follow())
        await until(lambda: any(b"Fetching" in data for data in seen), what="the first lines")
        await rig.images.cancel(rig.principal, build.id)
        async with asyncio.timeout(5):
            await following
        assert seen[-1] == b"Cancelled.\n"
