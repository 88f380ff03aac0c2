"""A run asks people: the question waits durably, and the answer reaches it."""

import asyncio
from dataclasses import replace

import pytest
from asking import are_open, asked, is_in, post, question_of, questions, sandbox_of, started, status

from skep.kernel.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from skep.kernel.paging import PageQuery
from skep.product.access.model import Scope
from skep.product.runs.model import AttemptPhase, NewsStatus, RunStatus
from skep.product.sandboxes.model import CommandId
from skep.testing.behaviour import Behaviour
from skep.testing.wait import until


async def test_a_question_waits_for_its_answer(world):
    """The run waits, shows what it asked, goes on with the answer, and says each in an event."""
    async with world.working():
        run, attempt, sandbox = await started(world)
        async with asked(sandbox, "Which?", choices=["a", "b"]) as waiting:
            await status(world, run, RunStatus.WAITING)
            question = await question_of(world, run)
            assert (question.text, question.choices) == ("Which?", ("a", "b"))
            assert not waiting.done()

            answered = await world.answers.answer(world.admin, run.id, "b")

            assert answered.status is RunStatus.RUNNING
            assert await waiting == (200, {"answer": "b"})
        assert await question_of(world, run) is None
        world.driver.finish(CommandId(attempt.id))
        await world.ended(run)
    assert await world.events(run) == [
        "run.queued",
        "attempt.created",
        "attempt.started",
        "run.asked",
        "run.answered",
        "attempt.exited",
        "run.succeeded",
    ]


async def test_the_same_key_has_the_same_answer(world):
    """Asked again it is answered at once; also by another attempt, after the sandbox was lost."""
    async with world.working():
        run, attempt, sandbox = await started(world, max_attempts=2)
        async with asked(sandbox) as waiting:
            await status(world, run, RunStatus.WAITING)
            await world.answers.answer(world.admin, run.id, {"n": 1})
            assert await waiting == (200, {"answer": {"n": 1}})
        assert await post(sandbox, {"key": "k", "text": "Other words"}) == (200, {"answer": {"n": 1}})

        world.driver.vanish(attempt.sandbox_id)

        again = await tried_again(world, run)
        assert await post(sandbox_of(world, again), {"key": "k", "text": "Go on?"}) == (200, {"answer": {"n": 1}})
        assert (await world.run(run)).status is RunStatus.RUNNING


async def tried_again(world, run):
    """Wait until the run's second attempt goes on; return it."""

    async def there():
        world.clock.advance(0.01)  # the pause before it
        return len(await world.attempts(run)) == 2

    await until(there, timeout_s=20, what="the second attempt")
    return await world.phase(run, AttemptPhase.STARTED)


async def test_a_lost_sandbox_keeps_the_question(world):
    """A run that waited is tried again, may be answered between its attempts, and its next attempt has the answer."""
    async with world.working():
        run, attempt, sandbox = await started(world, max_attempts=2)
        async with asked(sandbox) as waiting:
            await status(world, run, RunStatus.WAITING)
            question = await question_of(world, run)
            world.driver.vanish(attempt.sandbox_id)
            await asyncio.wait({waiting})

        async def seen():
            return not await is_in(world, run, RunStatus.WAITING)

        await until(seen, timeout_s=20, what="the loss to be seen")

        await world.answers.answer(world.admin, run.id, "yes", question.id)

        again = await tried_again(world, run)
        assert await post(sandbox_of(world, again), {"key": "k", "text": "Go on?"}) == (200, {"answer": "yes"})


async def test_a_lost_sandbox_without_another_attempt_is_the_end(world):
    """A run that waits can be lost; nobody can answer it then."""
    async with world.working():
        run, attempt, sandbox = await started(world)
        async with asked(sandbox):
            await status(world, run, RunStatus.WAITING)
            world.driver.vanish(attempt.sandbox_id)
            assert (await world.ended(run)).status is RunStatus.LOST
    with pytest.raises(ConflictError) as caught:
        await world.answers.answer(world.admin, run.id, "yes")
    assert caught.value.code == "not_waiting"
    assert await question_of(world, run) is None


async def test_two_questions_at_once(world):
    """The run waits until both are answered; which one is meant must be said."""
    async with world.working():
        run, _, sandbox = await started(world)
        async with asked(sandbox, "One?", "one") as one, asked(sandbox, "Two?", "two") as two:
            await until(lambda: are_open(world, run, 2), timeout_s=20, what="two questions")
            with pytest.raises(InvalidError) as caught:
                await world.answers.answer(world.admin, run.id, "1")
            assert "question" in caught.value.fields
            ids = {q.key: q.id for q in await questions(world, run)}
            shown = (await world.answers.open(world.admin, [await world.run(run)]))[run.id]
            assert [q.key for q in shown] == ["one", "two"]

            after = await world.answers.answer(world.admin, run.id, 2, ids["two"])
            assert await two == (200, {"answer": 2})
            assert after.status is RunStatus.WAITING
            assert not one.done()

            after = await world.answers.answer(world.admin, run.id, 1, ids["one"])
            assert await one == (200, {"answer": 1})
            assert after.status is RunStatus.RUNNING


async def test_answering_twice(world):
    """The same answer again changes nothing; another one is refused."""
    async with world.working():
        run, _, sandbox = await started(world)
        async with asked(sandbox) as waiting:
            await status(world, run, RunStatus.WAITING)
            await world.answers.answer(world.admin, run.id, 1)
            await waiting
        events = await world.events(run)
        assert (await world.answers.answer(world.admin, run.id, 1)).status is RunStatus.RUNNING
        assert await world.events(run) == events
        for other in (2, 1.0, True, "1"):
            with pytest.raises(ConflictError) as caught:
                await world.answers.answer(world.admin, run.id, other)
            assert caught.value.code == "already_answered"


async def test_who_has_not_asked_cannot_be_answered(world):
    """In words; and only in one's own project, with the right to start runs."""
    async with world.working():
        run, _, _ = await started(world)
        with pytest.raises(ConflictError) as caught:
            await world.answers.answer(world.admin, run.id, "yes")
        assert caught.value.code == "not_waiting"
        with pytest.raises(InvalidError):
            await world.answers.answer(world.admin, run.id, "yes", "qst_none")
        stranger = replace(world.admin, project_id="prj_other")
        with pytest.raises(NotFoundError):
            await world.answers.answer(stranger, run.id, "yes")
        reader = replace(world.admin, scopes=frozenset({Scope.READ}))
        with pytest.raises(ForbiddenError):
            await world.answers.answer(reader, run.id, "yes")


@pytest.mark.parametrize(
    ("question", "answer", "field"),
    [
        ({"choices": ["yes", "no"]}, "maybe", "answer"),
        ({"schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}, {"n": "x"}, "n"),
        ({"schema": {"type": "integer"}}, "x", "answer"),
        ({}, "x" * 40_000, "answer"),
    ],
)
async def test_an_answer_must_fit(world, question, answer, field):
    """Each wrong field is named, and the question goes on waiting."""
    async with world.working():
        run, _, sandbox = await started(world)
        async with asked(sandbox, **question) as waiting:
            await status(world, run, RunStatus.WAITING)
            with pytest.raises(InvalidError) as caught:
                await world.answers.answer(world.admin, run.id, answer)
            assert list(caught.value.fields) == [field]
            assert not waiting.done()
            assert (await world.run(run)).status is RunStatus.WAITING


def nested(depth):
    """Return a list in a list in a list."""
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"no json", "question"),
        ([], "question"),
        ({"key": "k"}, "text"),
        ({"text": "t"}, "key"),
        ({"key": "k", "text": "t" * 20_000}, "text"),
        ({"key": "k", "text": "\0"}, "text"),
        ({"key": "k", "text": "\ud800"}, "text"),
        ({"key": "k", "text": "t", "choices": ["a", "a"]}, "choices"),
        ({"key": "k", "text": "t", "choices": "a"}, "choices"),
        ({"key": "k", "text": "t", "schema": {"type": "nothing"}}, "schema"),
        ({"key": "k", "text": "t", "schema": {"$ref": "http://169.254.169.254/"}}, "schema"),
        ({"key": "k", "text": "t", "schema": {"const": "\ud800"}}, "schema"),
        ({"key": "k", "text": "t", "schema": {"x": nested(100)}}, "schema"),
        ({"key": "k", "text": "t", "timeout_s": -1}, "timeout_s"),
        ({"key": "k", "text": "t", "more": 1}, "more"),
    ],
)
async def test_a_bad_question_is_refused(world, body, field):
    """In words, with the field that is wrong; the run does not wait."""
    async with world.working():
        run, _, sandbox = await started(world)
        code, said = await post(sandbox, body)
        assert (code, said["code"]) == (422, "question_invalid")
        assert field in said["fields"]
        assert (await world.run(run)).status is RunStatus.RUNNING


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"path": "/other"}, 404),
        ({"method": "GET"}, 422),
        ({"Content-Length": "1000000"}, 413),
        ({"Content-Length": None, "Transfer-Encoding": "chunked"}, 400),
        ({"Content-Length": "+5"}, 400),
        ({"X" * 40_000: "1"}, 413),
    ],
)
async def test_the_door_is_strict(world, request_, code):
    """Web pages, other places, and what is not plainly right are refused."""
    async with world.working():
        run, _, sandbox = await started(world)
        found, said = await post(sandbox, {"key": "k", "text": "t"}, **request_)
        assert found == code
        assert said["message"]
        assert await questions(world, run) == []


async def test_a_run_asks_a_hundred_times(world):
    """Then no more: a question is a row, and somebody's time."""
    async with world.working():
        run, _, sandbox = await started(world)
        async with asked(sandbox):
            await status(world, run, RunStatus.WAITING)
            question = (await questions(world, run))[0]
            for n in range(99):
                twin = replace(question, id=f"qst_{n}", key=f"{n}", answered_ms=1)
                await world.db.write(lambda tx, twin=twin: world.stores.questions.insert(tx, twin))
            code, said = await post(sandbox, {"key": "new", "text": "One more?"})
        assert (code, said["code"]) == (409, "too_many_questions")


async def test_the_inbox_tells_what_happened(world):
    """Newest first, by status: what waits with its question, what failed and why, what ended with its result."""
    async with world.working():
        run, _, sandbox = await started(world)
        await world.agent(Behaviour(exit_code=3), name="wasps")
        failed = await world.start("wasps")
        await status(world, failed, RunStatus.FAILED)
        async with asked(sandbox, "Go on?"):
            await status(world, run, RunStatus.WAITING)

            page = await world.answers.inbox(world.admin, PageQuery())

            assert [(item.run_id, item.status) for item in page.items] == [
                (failed.id, NewsStatus.FAILED),
                (run.id, NewsStatus.WAITING),
            ]
            assert (page.items[1].text, page.items[1].questions[0].text) == ("Go on?", "Go on?")
            waiting = await world.answers.inbox(world.admin, PageQuery(status=("waiting",)))
            assert [item.run_id for item in waiting.items] == [run.id]
            assert (await world.answers.inbox(world.admin, PageQuery(status=("finished",)))).items == []
