"""Runs that wait for a build, agents that are removed, work that is given up."""

import asyncio
from dataclasses import replace

import pytest

from skep.kernel.errors import FencedError, NotFoundError
from skep.product.blobs.model import LogId
from skep.product.images.model import Build, BuildId, BuildStatus, Failure
from skep.product.runs.model import AttemptPhase, RunStatus
from skep.product.runs.queue import work_id
from skep.product.sandboxes.model import Phase
from skep.product.work.model import Lease, WorkState
from skep.testing.behaviour import FOREVER, Behaviour


async def building(world, **more):
    """An agent whose first build goes on."""
    agent = await world.agent(Behaviour(stdout="built"), built=False, **more)
    build = Build(
        id=BuildId("bld_1"),
        project_id=agent.project_id,
        agent_id=agent.id,
        source=agent.source,
        status=BuildStatus.RUNNING,
        log_id=LogId("log_1"),
        created_ms=0,
    )
    agent = replace(agent, build_id=build.id)

    def work(tx):
        world.stores.images.insert_build(tx, build)
        world.stores.agents.save(tx, agent)

    await world.db.write(work)
    return agent


async def ready(world, agent):
    """The build ends well."""

    def work(tx):
        world.stores.agents.insert_version(tx, world.version)
        after = replace(agent, version_id=world.version.id)
        world.stores.agents.save(tx, after)
        world.queue.version_ready(tx, after, world.version)

    await world.db.write(work)


async def test_a_run_waits_for_the_first_build(world):
    """A run that came while the first build went on starts when it is there, with the version that it made."""
    agent = await building(world)
    run = await world.start()
    assert (run.version_id, run.status) == (None, RunStatus.QUEUED)
    assert await world.claim() is None
    await ready(world, agent)
    async with world.working():
        run = await world.ended(run)
    assert (run.status, run.version_id) == (RunStatus.SUCCEEDED, world.version.id)


async def test_a_run_ends_with_the_build_that_failed(world):
    """When the first build fails, those who waited for it fail with its reason."""
    agent = await building(world)
    run = await world.start()
    failure = Failure(code="nothing_recognised", message="Nothing was recognised.")
    await world.db.write(lambda tx: world.queue.build_failed(tx, agent, failure))
    run = await world.run(run)
    assert (run.status, run.failure.code) == (RunStatus.FAILED, "build_failed")
    assert "Nothing was recognised." in run.failure.message


async def test_inputs_are_checked_by_what_the_build_found(world):
    """A schema that only the source told is applied before anything is started."""
    agent = await building(world, inputs_schema={"required": ["topic"]})
    run = await world.start()
    await ready(world, agent)
    async with world.working():
        run = await world.ended(run)
    assert (run.status, run.failure.code, run.attempts) == (RunStatus.FAILED, "inputs_invalid", 0)
    assert "topic" in run.failure.message


async def test_a_waiting_run_is_cancelled_at_once(world):
    """A run that waits for a build can be cancelled, and the build's end does not wake it."""
    agent = await building(world)
    run = await world.runs.cancel(world.admin, (await world.start()).id)
    assert run.status is RunStatus.CANCELLED
    await ready(world, agent)
    assert await world.claim() is None


async def test_removing_an_agent_ends_its_runs(world):
    """What waits ends at once, what runs ends soon."""
    agent = await world.agent(Behaviour(run_for_s=FOREVER))
    running = await world.start()
    async with world.working():
        await world.phase(running, AttemptPhase.STARTED)
        await world.agent(name="other", built=False)
        await world.db.write(lambda tx: world.queue.agent_removed(tx, agent))
        running = await world.ended(running)
    assert running.status is RunStatus.CANCELLED


async def test_given_up_is_final(world):
    """Work that is given up ends its run, so that nobody waits for ever."""
    await world.agent()
    run = await world.start()
    item = await world.claim()
    await world.db.write(lambda tx: world.queue.given_up(tx, item, "a bug"))
    run = await world.run(run)
    assert (run.status, run.failure.code) == (RunStatus.FAILED, "gave_up")
    assert "bug" not in run.failure.message


async def test_given_up_in_the_middle(world):
    """The attempt of a run that is given up ends too, and its sandbox is nobody's any more."""
    await world.agent(Behaviour(run_for_s=FOREVER))
    run = await world.start()
    async with world.working():
        attempt = await world.phase(run, AttemptPhase.STARTED)
    item = await world.db.read(lambda tx: world.stores.work.get(tx, work_id(run.id)))
    await world.db.write(lambda tx: world.queue.given_up(tx, item, "a bug"))
    assert (await world.attempts(run))[0].phase is AttemptPhase.ENDED
    assert [(row.id, row.phase) for row in await world.sandbox_rows()] == [(attempt.sandbox_id, Phase.DESTROYING)]


async def test_who_follows_what_is_given_up_is_sent_away(world):
    """Its log ends when the run does: at once, and also for those who ask after a crash that came in between."""
    await world.agent(Behaviour(stdout="so far\n", run_for_s=FOREVER))
    for told in (True, False):
        run = await world.start()
        async with world.working():
            await world.phase(run, AttemptPhase.STARTED)
            following = world.runs.follow_log(world.admin, run.id)
            assert (await anext(following)).data == b"so far\n"
        item = await world.db.read(lambda tx, run=run: world.stores.work.get(tx, work_id(run.id)))
        await world.db.write(lambda tx, item=item: world.queue.given_up(tx, item, "a bug"))
        if told:
            await world.queue.gave_up(item)
        else:
            await following.aclose()
            following = world.again().runs.follow_log(world.admin, run.id)
            assert (await anext(following)).data == b"so far\n"
        async with asyncio.timeout(10):
            assert [frame async for frame in following] == []


async def test_whoever_was_replaced_writes_nothing(world):
    """After its lease was taken by another life, an executor's next commit is refused, and the run is unharmed."""
    await world.agent()
    run = await world.start()
    old = await world.claim()
    await world.db.write(lambda tx: world.stores.work.release_owner(tx, ["one"]))
    after = world.again()
    new = await after.claim()
    assert (new.id, new.fence > old.fence) == (old.id, True)
    with pytest.raises(FencedError):
        await world.queue.run(old, Lease(work_id=old.id, fence=old.fence, owner="one"))
    assert await world.attempts(run) == []
    await after.queue.run(new, Lease(work_id=new.id, fence=new.fence, owner="two"))
    assert (await world.run(run)).status is RunStatus.SUCCEEDED
    item = await world.db.read(lambda tx: world.stores.work.get(tx, work_id(run.id)))
    assert item.state is WorkState.DONE


async def test_runs_of_other_projects_are_not_there(world):
    """Every verb of a run says that there is none, to everybody from another project."""
    await world.agent(Behaviour(files={"/run/skep/artifacts/a": "x"}))
    run = await world.start()
    async with world.working():
        await world.ended(run)
    project = await world.access.create_project(world.admin, "other")
    stranger = replace(world.admin, project_id=project.id)
    for verb in ("get", "cancel", "events", "log", "output", "artifacts"):
        with pytest.raises(NotFoundError):
            await getattr(world.runs, verb)(stranger, run.id)
    with pytest.raises(NotFoundError):
        await world.runs.open_artifact(stranger, run.id, "a")
    for follow in (world.runs.follow_events, world.runs.follow_log):
        with pytest.raises(NotFoundError):
            await anext(follow(stranger, run.id))
    with pytest.raises(NotFoundError):
        await world.runs.start(stranger, "bees", {})
