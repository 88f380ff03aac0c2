"""A run that waits gives back its place, and has it again whenever and however it goes on."""

import pytest
from asking import asked, started, status

from skep.product.runs.model import RunLimits, RunStatus
from skep.product.work.model import WorkLimits
from skep.testing.wait import until


@pytest.fixture
async def world(db, make_world):
    """An installation in which a run may rest, and in which nobody waits long for listeners."""
    limits = RunLimits(retry_s=0.005, min_free_bytes=0, absence_s=0.05)
    return await make_world(db, limits=limits, work_limits=WorkLimits(resting=1))


async def resting(world):
    """Count what rests."""
    return len(await world.db.read(lambda tx: world.stores.work.resting(tx, world.owner)))


async def test_nobody_listens_any_more(world):
    """The agent hung up and works on: its run takes its place again."""
    async with world.working():
        run, _, sandbox = await started(world)
        async with asked(sandbox):
            await status(world, run, RunStatus.WAITING)
            assert await resting(world) == 1
        await status(world, run, RunStatus.RUNNING)
        assert await resting(world) == 0


async def test_all_that_was_asked_must_be_answered(world):
    """As long as something is open the run waits, and needs no place."""
    async with world.working():
        run, _, sandbox = await started(world)
        async with asked(sandbox, "a?", key="a"), asked(sandbox, "b?", key="b"):

            async def both():
                return len(await world.db.read(lambda tx: world.stores.questions.of_run(tx, run.id))) == 2

            await until(both, what="both questions")
            for question, left in (("a", 1), ("b", 0)):
                asks = await world.db.read(lambda tx, key=question: world.stores.questions.by_key(tx, run.id, key))
                await world.answers.answer(world.admin, run.id, 1, question_id=asks.id)
                assert await resting(world) == left


async def test_the_next_attempt_waits_for_a_place_like_any_other(world):
    """A sandbox that was lost while its run waited leaves no run that goes on without a place."""
    async with world.working():
        run, attempt, sandbox = await started(world, max_attempts=2)
        async with asked(sandbox):
            await status(world, run, RunStatus.WAITING)
            assert await resting(world) == 1
            world.driver.vanish(attempt.sandbox_id)
            await status(world, run, RunStatus.QUEUED)
        # Nobody holds it now; whoever takes it up next does not find it resting.
        world.clock.advance(60)
        await status(world, run, RunStatus.RUNNING)
        assert await resting(world) == 0
