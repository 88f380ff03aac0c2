"""A run that waits for a person: its time stands still, and the server's death changes nothing."""

from dataclasses import replace

import pytest
from asking import asked, command_of, post, questions, started, status

from skep.kernel.errors import ConflictError
from skep.product.runs.model import RunStatus
from skep.product.sandboxes.model import CommandId
from skep.testing.wait import until


async def test_waiting_costs_no_time(world):
    """Its time limit is for working: the sandbox's own clock is held, and goes on with what was left."""
    async with world.working():
        run, attempt, sandbox = await started(world)
        command = command_of(world, attempt)
        async with asked(sandbox) as waiting:
            await until(lambda: command.held, timeout_s=20, what="the time to stand still")
            world.clock.advance(10 * world.limits.timeout_s)
            await world.answers.answer(world.admin, run.id, "yes")
            await waiting
        await until(lambda: not command.held, timeout_s=20, what="the time to go on")
        assert (await world.attempts(run))[0].waited_ms == 10 * world.limits.timeout_s * 1000
        assert (await world.run(run)).status is RunStatus.RUNNING

        world.clock.advance(world.limits.timeout_s)

        assert (await world.ended(run)).status is RunStatus.TIMED_OUT


async def test_waiting_has_an_end(world):
    """When nobody answers in time the agent is told so, the run goes on, and it is too late to answer."""
    async with world.working():
        run, attempt, sandbox = await started(world)
        async with asked(sandbox, timeout_s=5) as waiting:
            await status(world, run, RunStatus.WAITING)
            world.clock.advance(6)
            world.hub.notify_all()
            code, said = await waiting
            assert (code, said["code"]) == (410, "question_expired")
        await status(world, run, RunStatus.RUNNING)
        question = (await questions(world, run))[0]
        with pytest.raises(ConflictError) as caught:
            await world.answers.answer(world.admin, run.id, "yes", question.id)
        assert caught.value.code == "question_expired"
        assert (await post(sandbox, {"key": "k", "text": "Go on?"}))[0] == 410
        await until(lambda: not command_of(world, attempt).held, timeout_s=20, what="the time to go on")
    assert "run.resumed" in await world.events(run)


async def test_nobody_holds_time_without_listening(make_world, db):
    """An agent that hangs up and works on is working: its time goes on, though the question stays."""
    world = await make_world(db)
    world.limits = replace(world.limits, absence_s=0.05)
    world.executors["job"] = world._executor()
    async with world.working():
        run, attempt, sandbox = await started(world)
        async with asked(sandbox):
            await until(lambda: command_of(world, attempt).held, timeout_s=20, what="the time to stand still")
        await status(world, run, RunStatus.RUNNING)
        await until(lambda: not command_of(world, attempt).held, timeout_s=20, what="the time to go on")
        async with asked(sandbox) as waiting:
            await status(world, run, RunStatus.WAITING)
            await world.answers.answer(world.admin, run.id, "yes")
            assert await waiting == (200, {"answer": "yes"})


async def test_a_cancel_ends_a_waiting_run(world):
    """At once; the question can be answered no more."""
    async with world.working():
        run, _, sandbox = await started(world)
        async with asked(sandbox):
            await status(world, run, RunStatus.WAITING)
            await world.runs.cancel(world.admin, run.id)
            assert (await world.ended(run)).status is RunStatus.CANCELLED
        with pytest.raises(ConflictError) as caught:
            await world.answers.answer(world.admin, run.id, "yes")
        assert caught.value.code == "not_waiting"


async def test_an_agent_may_end_while_it_waits(world):
    """Another thread of it ended the process: the run ends as it did."""
    async with world.working():
        run, attempt, sandbox = await started(world)
        async with asked(sandbox):
            await status(world, run, RunStatus.WAITING)
            world.clock.advance(3)
            world.driver.finish(CommandId(attempt.id))
            assert (await world.ended(run)).status is RunStatus.SUCCEEDED
    ended = (await world.attempts(run))[0]
    assert (ended.waited_ms, ended.waiting_since_ms) == (3000, None)


async def release(world, dead):
    """Give up what a dead server held, as the next one does at its start."""
    await world.db.write(lambda tx: world.stores.work.release_owner(tx, owners=[dead.owner]))


async def test_another_life_of_the_server_takes_over_a_waiting_run(world):
    """The door is open again, the same question finds its row, time still stands, and the answer arrives."""
    async with world.working():
        run, attempt, sandbox = await started(world)
        async with asked(sandbox):
            await status(world, run, RunStatus.WAITING)
            command = command_of(world, attempt)
            await until(lambda: command.held, timeout_s=20, what="the time to stand still")
    command.hold(held=False)  # as if the first life had not come to it
    next_life = world.again()
    await release(next_life, world)
    before = sandbox.doors[80]
    async with next_life.working():
        await until(lambda: sandbox.doors[80] is not before, timeout_s=20, what="the door to be open")
        await until(lambda: command.held, timeout_s=20, what="the time to stand still")
        assert (await next_life.run(run)).status is RunStatus.WAITING
        async with asked(sandbox) as waiting:
            await next_life.answers.answer(next_life.admin, run.id, "yes")
            assert await waiting == (200, {"answer": "yes"})
        await until(lambda: not command.held, timeout_s=20, what="the time to go on")
    assert (await world.events(run)).count("run.asked") == 1


async def test_an_answer_that_came_while_no_server_worked(world):
    """The next life finds it: the agent has it at once, and time goes on."""
    async with world.working():
        run, attempt, sandbox = await started(world)
        async with asked(sandbox):
            command = command_of(world, attempt)
            await until(lambda: command.held, timeout_s=20, what="the time to stand still")
    await world.answers.answer(world.admin, run.id, "yes")
    assert command.held
    next_life = world.again()
    await release(next_life, world)
    async with next_life.working():
        await until(lambda: not command.held, timeout_s=20, what="the time to go on")
        assert await post(sandbox, {"key": "k", "text": "Go on?"}) == (200, {"answer": "yes"})
