"""What is written down when a run asks and goes on: each method is one commit, or one look.

A question has its row before anybody waits for its answer, and the answer has its row before the agent has it. So
whoever dies in between, the same question finds what is known of it.
"""

import asyncio
from dataclasses import dataclass, replace

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.errors import ConflictError, NotFoundError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.runs.machine import Happening, becomes, goes_on, waits
from skep.product.runs.model import Asked, Attempt, AttemptId, AttemptPhase, Question, QuestionId, Run, RunStatus
from skep.product.runs.ports import QuestionStore, RunStore, WorkQueue
from skep.product.runs.questions import MAX_QUESTIONS, new_question
from skep.product.runs.records import say
from skep.product.work.model import Lease
from skep.product.work.ports import WorkStore

_ALIVE = (AttemptPhase.CREATED, AttemptPhase.STARTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an attempt waits at this moment."""

    attempt: Attempt
    #: What may be answered still, oldest first.
    open: tuple[Question, ...]


class Asking:
    """The questions of attempts; made once per process."""

    def __init__(
        self,
        db: Database,
        runs: RunStore,
        questions: QuestionStore,
        work: WorkStore,
        hub: Hub,
        clock: Clock,
        ids: IdSource,
        *,
        queue: WorkQueue,
        most_s: float,
    ) -> None:
        self._db = db
        self._runs = runs
        self._questions = questions
        self._work = work
        self._hub = hub
        self._clock = clock
        self._ids = ids
        self._queue = queue
        self._most_s = most_s
        #: Held by who reads what an agent asks: a thread that is busy with it is in everybody's way.
        self.reading = asyncio.Lock()

    def now_ms(self) -> int:
        """Return the time."""
        return to_ms(self._clock.now())

    async def ask(self, attempt_id: AttemptId, lease: Lease, asked: Asked) -> Question:
        """Write down what an attempt asks, or find that it or an earlier one asked it; an open one has the run wait.

        Raises:
            ConflictError: the attempt is being ended, or has asked too much.
        """
        now_ms = self.now_ms()
        question_id = QuestionId(self._ids.new("qst", now_ms))

        def work(tx: Tx) -> Question:
            self._work.check(tx, lease)
            run, attempt = self._alive(tx, attempt_id)
            found = self._questions.by_key(tx, run.id, asked.key)
            question = found or self._insert(tx, new_question(asked, question_id, run, now_ms, self._most_s))
            if question.is_open(now_ms):
                self._wait(tx, lease, run, attempt, question, now_ms, is_new=found is None)
            return question

        return await self._db.write(work)

    async def unask(self, attempt_id: AttemptId, lease: Lease, why: str) -> None:
        """Have the run go on although nobody has answered: nobody can any more, or nobody listens."""
        now_ms = self.now_ms()

        def work(tx: Tx) -> None:
            self._work.check(tx, lease)
            attempt = self._runs.attempt(tx, attempt_id)
            run = None if attempt is None else self._runs.get(tx, attempt.run_id)
            if attempt is None or run is None:
                return
            self._runs.save_attempt(tx, goes_on(attempt, now_ms))
            self._work.go_on(tx, lease.work_id)
            if run.status is RunStatus.WAITING:
                self._runs.save(tx, replace(run, status=becomes(run.status, Happening.UNASKED)))
                say(tx, self._db, self._runs, self._hub, run.id, now_ms, "run.resumed", why=why)

        await self._db.write(work)

    async def standing(self, attempt_id: AttemptId) -> Standing:
        """Read how the attempt waits."""
        now_ms = self.now_ms()

        def work(tx: Tx) -> Standing:
            attempt = self._runs.attempt(tx, attempt_id)
            if attempt is None:
                raise NotFoundError(f"There is no attempt {attempt_id}.", code="attempt_not_found")
            asked = self._questions.unanswered(tx, [attempt.run_id])
            return Standing(attempt=attempt, open=tuple(question for question in asked if question.is_open(now_ms)))

        return await self._db.read(work)

    async def question(self, question_id: QuestionId) -> Question:
        """Read a question again."""
        found = await self._db.read(lambda tx: self._questions.get(tx, question_id))
        if found is None:
            raise NotFoundError(f"There is no question {question_id}.", code="question_not_found")
        return found

    def _alive(self, tx: Tx, attempt_id: AttemptId) -> tuple[Run, Attempt]:
        attempt = self._runs.attempt(tx, attempt_id)
        run = None if attempt is None else self._runs.get(tx, attempt.run_id)
        if attempt is None or run is None or attempt.phase not in _ALIVE or run.status.final or run.cancel_requested:
            raise ConflictError("The run is being ended; it can ask nothing any more.", code="run_ending")
        return run, attempt

    def _insert(self, tx: Tx, question: Question) -> Question:
        if len(self._questions.of_run(tx, question.run_id)) >= MAX_QUESTIONS:
            raise ConflictError(f"A run asks at most {MAX_QUESTIONS} things.", code="too_many_questions")
        self._questions.insert(tx, question)
        return question

    def _wait(
        self, tx: Tx, lease: Lease, run: Run, attempt: Attempt, question: Question, now_ms: int, *, is_new: bool
    ) -> None:
        self._runs.save_attempt(tx, waits(attempt, now_ms))
        if run.status is not RunStatus.WAITING:
            self._runs.save(tx, replace(run, status=becomes(run.status, Happening.ASKED)))
            self._queue.rest(tx, lease)
        elif not is_new:
            return  # it asks again what it waits for: after a restart, or on another connection
        said = {"id": question.id, "key": question.key, "text": question.text, "choices": list(question.choices)}
        say(tx, self._db, self._runs, self._hub, run.id, now_ms, "run.asked", question=said)
