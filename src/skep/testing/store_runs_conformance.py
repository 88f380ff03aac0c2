"""What every store of runs, attempts, events, artifacts and questions must do."""

from dataclasses import replace
from typing import Any

from skep.adapters.storage.stores import Stores
from skep.kernel.database import Database
from skep.kernel.paging import PageQuery
from skep.product.agents.model import AgentId
from skep.product.runs.model import AttemptId, AttemptPhase, QuestionId, RunId, RunStatus
from skep.testing import samples
from skep.testing.store_walks import EVERYTHING, refused


class RunConformance:
    """Runs, attempts, events, artifacts."""

    async def test_a_run_comes_back_and_is_replaced(self, db: Database, stores: Stores) -> None:
        """Every field, and every field None."""
        await db.write(lambda tx: stores.runs.insert(tx, samples.RUN))
        assert await db.read(lambda tx: stores.runs.get(tx, samples.RUN.id)) == samples.RUN
        bare = replace(
            samples.RUN, version_id=None, timeout_s=None, result=None, exit_code=None, failure=None, started_ms=None
        )
        await db.write(lambda tx: stores.runs.save(tx, bare))
        assert await db.read(lambda tx: stores.runs.get(tx, samples.RUN.id)) == bare

    async def test_a_result_is_any_json(self, db: Database, stores: Stores) -> None:
        """Also text, numbers, falsehood, and what is nested."""
        await db.write(lambda tx: stores.runs.insert(tx, samples.RUN))
        results: tuple[Any, ...] = ("text", 0, False, [], {}, 1e300, {"a": [None, {"b": "é\n"}]})
        for result in results:
            run = replace(samples.RUN, result=result)
            await db.write(lambda tx, run=run: stores.runs.save(tx, run))
            stored = await db.read(lambda tx: stores.runs.get(tx, samples.RUN.id))
            assert stored is not None
            assert stored.result == result
            assert type(stored.result) is type(result)

    async def test_runs_are_listed_newest_first(self, db: Database, stores: Stores) -> None:
        """By agent, status, time and text; cursors hold while new runs come."""
        for n in range(5):
            status = RunStatus.QUEUED if n % 2 else RunStatus.SUCCEEDED
            run = replace(
                samples.RUN, id=RunId(f"run_{n}"), agent_id=AgentId(f"agt_{n % 2}"), status=status, created_ms=n
            )
            await db.write(lambda tx, run=run: stores.runs.insert(tx, run))

        async def found(agent_id: str | None = None, **choice: Any) -> list[str]:
            page = await db.read(lambda tx: stores.runs.all(tx, "prj_1", agent_id, PageQuery(**choice)))
            return [run.id for run in page.items]

        assert await found() == ["run_4", "run_3", "run_2", "run_1", "run_0"]
        assert await found("agt_1") == ["run_3", "run_1"]
        assert await found(status=("succeeded",)) == ["run_4", "run_2", "run_0"]
        assert await found(since_ms=1, until_ms=3) == ["run_2", "run_1"]
        assert await found(cursor="run_2", limit=1) == ["run_1"]
        assert await found(q="run_3") == ["run_3"]
        assert (await db.read(lambda tx: stores.runs.all(tx, "prj_2", None, EVERYTHING))).items == []

    async def test_runs_that_wait_for_a_version(self, db: Database, stores: Stores) -> None:
        """Only queued ones without a version count; and only unfinished ones are unfinished."""
        waiting = replace(samples.RUN, id=RunId("run_2"), version_id=None, status=RunStatus.QUEUED)
        cancelled = replace(waiting, id=RunId("run_3"), status=RunStatus.CANCELLED)
        going = replace(samples.RUN, id=RunId("run_4"), status=RunStatus.RUNNING)
        for run in (samples.RUN, waiting, cancelled, going):
            await db.write(lambda tx, run=run: stores.runs.insert(tx, run))
        assert await db.read(lambda tx: stores.runs.awaiting_version(tx, samples.AGENT.id)) == [waiting]
        assert await db.read(lambda tx: stores.runs.count_unfinished(tx, "prj_1")) == 2
        assert await db.read(lambda tx: stores.runs.count_unfinished(tx, "prj_2")) == 0

    async def test_attempts_are_in_order(self, db: Database, stores: Stores) -> None:
        """An attempt's row is replaced as it goes on; a number is given once."""
        await db.write(lambda tx: stores.runs.insert(tx, samples.RUN))
        second = replace(samples.ATTEMPT, id=AttemptId("att_2"), number=2, exit=None, phase=AttemptPhase.INTENDED)
        for attempt in (second, samples.ATTEMPT):
            await db.write(lambda tx, attempt=attempt: stores.runs.insert_attempt(tx, attempt))
        begun = replace(second, phase=AttemptPhase.STARTED)
        await db.write(lambda tx: stores.runs.save_attempt(tx, begun))
        assert await db.read(lambda tx: stores.runs.attempts(tx, samples.RUN.id)) == [samples.ATTEMPT, begun]
        assert await db.read(lambda tx: stores.runs.attempt(tx, begun.id)) == begun
        third = replace(second, id=AttemptId("att_3"))
        await refused(db, "conflict", lambda tx: stores.runs.insert_attempt(tx, third))

    async def test_events_are_numbered_within_their_run(self, db: Database, stores: Stores) -> None:
        """1, 2, 3 for each run, read on from any of them."""
        other = replace(samples.RUN, id=RunId("run_2"))
        for run in (samples.RUN, other):
            await db.write(lambda tx, run=run: stores.runs.insert(tx, run))
        events = [
            await db.write(lambda tx, n=n: stores.runs.append_event(tx, samples.RUN.id, n, "run.queued", {"n": n}))
            for n in range(3)
        ]
        first = await db.write(lambda tx: stores.runs.append_event(tx, other.id, 0, "run.queued", {}))
        assert [event.seq for event in events] == [1, 2, 3]
        assert first.seq == 1
        assert await db.read(lambda tx: stores.runs.events(tx, samples.RUN.id)) == events
        assert await db.read(lambda tx: stores.runs.events(tx, samples.RUN.id, after=1, limit=1)) == events[1:2]

    async def test_artifacts_are_set_as_a_whole(self, db: Database, stores: Stores) -> None:
        """A second time replaces the first; they come by path, byte by byte."""
        await db.write(lambda tx: stores.runs.insert(tx, samples.RUN))
        artifacts = [replace(samples.ARTIFACT, path=path) for path in ("Z", "a/b", "a_b", "é")]
        for some in ([samples.ARTIFACT], artifacts[::-1]):
            await db.write(lambda tx, some=some: stores.runs.put_artifacts(tx, samples.RUN.id, some))
        assert await db.read(lambda tx: stores.runs.artifacts(tx, samples.RUN.id)) == artifacts

    async def test_questions_are_found_by_run_and_key(self, db: Database, stores: Stores) -> None:
        """A key is given once within a run; those without an answer are found for several runs at once."""
        other = replace(samples.RUN, id=RunId("run_2"))
        for run in (samples.RUN, other):
            await db.write(lambda tx, run=run: stores.runs.insert(tx, run))
        bare = replace(samples.QUESTION, id=QuestionId("qst_2"), key="b", answer_schema=None, answer=None)
        bare = replace(bare, answered_ms=None, answered_by="", choices=())
        theirs = replace(bare, id=QuestionId("qst_3"), run_id=other.id)
        for question in (theirs, bare, samples.QUESTION):
            await db.write(lambda tx, question=question: stores.questions.insert(tx, question))

        assert await db.read(lambda tx: stores.questions.of_run(tx, samples.RUN.id)) == [samples.QUESTION, bare]
        assert await db.read(lambda tx: stores.questions.by_key(tx, samples.RUN.id, "b")) == bare
        assert await db.read(lambda tx: stores.questions.by_key(tx, other.id, "a key")) is None
        runs = [samples.RUN.id, other.id]
        assert await db.read(lambda tx: stores.questions.unanswered(tx, runs)) == [bare, theirs]
        assert await db.read(lambda tx: stores.questions.unanswered(tx, [])) == []
        twin = replace(bare, id=QuestionId("qst_4"))
        await refused(db, "conflict", lambda tx: stores.questions.insert(tx, twin))
        answered = replace(bare, answer=False, answered_ms=31)
        await db.write(lambda tx: stores.questions.save(tx, answered))
        assert await db.read(lambda tx: stores.questions.get(tx, bare.id)) == answered
        assert await db.read(lambda tx: stores.questions.unanswered(tx, runs)) == [theirs]

    async def test_an_event_needs_its_run(self, db: Database, stores: Stores) -> None:
        """A row never points at nothing."""
        await refused(
            db, "reference_missing", lambda tx: stores.runs.append_event(tx, RunId("run_9"), 0, "run.queued", {})
        )
