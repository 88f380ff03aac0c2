"""What people do about questions: see which are open, answer, look through what has happened."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Also, Database, Tx
from skep.kernel.errors import ConflictError, InvalidError
from skep.kernel.events import Hub
from skep.kernel.paging import Page, PageQuery
from skep.product.access.model import Principal, Scope
from skep.product.access.service import AccessService, require
from skep.product.runs.machine import Happening, becomes, goes_on
from skep.product.runs.model import News, Question, QuestionId, Run, RunId, RunStatus
from skep.product.runs.news import news_of, statuses
from skep.product.runs.ports import QuestionStore, RunStore
from skep.product.runs.questions import check_answer, chosen, not_waiting, same
from skep.product.runs.queue import work_id
from skep.product.runs.records import say
from skep.product.runs.service import find_run
from skep.product.work.ports import WorkStore


class AnswerService:
    """The verbs of questions."""

    def __init__(
        self,
        db: Database,
        runs: RunStore,
        questions: QuestionStore,
        work: WorkStore,
        access: AccessService,
        hub: Hub,
        clock: Clock,
    ) -> None:
        self._db = db
        self._runs = runs
        self._questions = questions
        self._work = work
        self._access = access
        self._hub = hub
        self._clock = clock

    async def answer(
        self,
        principal: Principal,
        run_id: RunId,
        answer: Any,
        question_id: QuestionId | None = None,
        also: Also[Run] | None = None,
    ) -> Run:
        """Answer a run's question (None: the only open one); the answer is on disk when this returns.

        The same answer again changes nothing.

        Raises:
            InvalidError: `answer_invalid`, each wrong field named; or it must be said which question is meant.
            ConflictError: `already_answered`, `question_expired`, or `not_waiting`.
        """
        require(principal, Scope.INVOKE)
        question = await self._db.read(lambda tx: self._chosen(tx, principal, run_id, question_id))
        if question.answered_ms is None:
            await asyncio.to_thread(check_answer, question, answer)

        def work(tx: Tx) -> Run:
            run = self._answer(tx, principal, run_id, question.id, answer)
            if also is not None:
                also(tx, run)
            return run

        return await self._db.write(work)

    async def open(self, principal: Principal, runs: Collection[Run]) -> Mapping[RunId, tuple[Question, ...]]:
        """Return the open questions, oldest first, of those of *runs* that have any."""
        require(principal, Scope.READ)
        ids = [run.id for run in runs if not run.status.final and run.project_id == principal.project_id]
        return await self._db.read(lambda tx: self._open(tx, ids)) if ids else {}

    async def inbox(self, principal: Principal, query: PageQuery) -> Page[News]:
        """List what the project's runs have to tell, newest run first; *query* names statuses of `News`."""
        require(principal, Scope.READ)
        of_runs = replace(query, status=statuses(query.status))

        def work(tx: Tx) -> Page[News]:
            page = self._runs.all(tx, principal.project_id, None, of_runs)
            asked = self._open(tx, [run.id for run in page.items if run.status is RunStatus.WAITING])
            return Page(items=[news_of(run, asked.get(run.id, ())) for run in page.items], next=page.next)

        return await self._db.read(work)

    def _open(self, tx: Tx, run_ids: Collection[RunId]) -> dict[RunId, tuple[Question, ...]]:
        now_ms = to_ms(self._clock.now())
        found: dict[RunId, tuple[Question, ...]] = {}
        for question in self._questions.unanswered(tx, run_ids):
            if question.is_open(now_ms):
                found[question.run_id] = (*found.get(question.run_id, ()), question)
        return found

    def _chosen(self, tx: Tx, principal: Principal, run_id: RunId, question_id: QuestionId | None) -> Question:
        run = find_run(tx, self._runs, principal, run_id)
        asked = self._questions.of_run(tx, run.id)
        if run.status.final and not any(question.answered_ms is not None for question in asked):
            raise not_waiting(f"The run is {run.status.value}: it waits for nothing.")
        return chosen(asked, question_id, to_ms(self._clock.now()))

    def _answer(self, tx: Tx, principal: Principal, run_id: RunId, question_id: QuestionId, answer: Any) -> Run:
        now_ms = to_ms(self._clock.now())
        run = find_run(tx, self._runs, principal, run_id)
        question = self._questions.get(tx, question_id)
        if question is None or question.run_id != run.id:
            raise InvalidError("The run has not asked this.", fields={"question": "is no question of this run"})
        if question.answered_ms is not None:
            if same(question.answer, answer):
                return run
            said = f"{question.answered_by or 'somebody'} has answered this already."
            raise ConflictError(said[:1].upper() + said[1:], code="already_answered")
        if run.status.final:
            raise not_waiting(f"The run is {run.status.value}: it waits for nothing.")
        if not question.is_open(now_ms):
            raise ConflictError("It is too late to answer this.", code="question_expired")
        self._questions.save(tx, replace(question, answer=answer, answered_ms=now_ms, answered_by=principal.name))
        said = {"question": question.id, "by": principal.name}
        self._access.record(tx, principal, "run.answer", run.id, agent=run.agent_name, question=question.id)
        after = run if run.id in self._open(tx, [run.id]) else self._go_on(tx, run, now_ms)
        say(tx, self._db, self._runs, self._hub, run.id, now_ms, "run.answered", **said)
        return after

    def _go_on(self, tx: Tx, run: Run, now_ms: int) -> Run:
        """Let the run go on, if it waits: one between two attempts finds the answer when it asks again."""
        for attempt in self._runs.attempts(tx, run.id)[-1:]:
            self._runs.save_attempt(tx, goes_on(attempt, now_ms))
        self._work.go_on(tx, work_id(run.id))
        if run.status is not RunStatus.WAITING:
            return run
        going = replace(run, status=becomes(run.status, Happening.ANSWERED))
        self._runs.save(tx, going)
        return going
