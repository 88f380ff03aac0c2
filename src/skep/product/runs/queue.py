"""Runs as work: queued, handed to the executor of their kind, cancelled, given up; all inside somebody's commit."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.errors import InvalidError
from skep.kernel.events import Hub
from skep.kernel.paging import MAX_LIMIT, PageQuery
from skep.product.agents.model import Agent, Kind, Version
from skep.product.agents.ports import AgentStore
from skep.product.agents.schema import check_inputs
from skep.product.images.model import Failure
from skep.product.images.ports import ImageStore
from skep.product.runs.machine import CANCELLED, GAVE_UP, Happening, Outcome, becomes, inputs_schema
from skep.product.runs.model import AttemptPhase, Run, RunId, RunStatus
from skep.product.runs.ports import Abandons, Executor, RunStore, WorkQueue
from skep.product.runs.records import ended_data, say
from skep.product.work.model import Lease, NewWork, WorkId, WorkItem, WorkState
from skep.product.work.ports import WorkStore

KIND = "run"
#: The concurrency key that all runs share.
ALL_KEY = "runs"
#: How often the work of a run may be taken up before it is given up on; restarts of the server count too.
_MAX_CLAIMS = 200
_UNFINISHED = (RunStatus.QUEUED.value, RunStatus.RUNNING.value, RunStatus.WAITING.value)


def work_id(run_id: RunId) -> WorkId:
    """Return the id of the work that a run is: one run, one piece of work."""
    return WorkId("wrk_" + run_id.partition("_")[2])


def work_keys(run: Run) -> tuple[str, ...]:
    """Return what limits how many runs go on at once: the server, the project, the agent."""
    return (ALL_KEY, f"project:{run.project_id}", f"agent:{run.agent_id}")


class RunQueue:
    """Implements `work.ports.Handler` for runs, and `agents.ports.VersionListener` for those that wait."""

    def __init__(
        self,
        db: Database,
        store: RunStore,
        agents: AgentStore,
        images: ImageStore,
        work: WorkQueue,
        work_store: WorkStore,
        hub: Hub,
        clock: Clock,
        executors: Mapping[Kind, Executor],
    ) -> None:
        self._db = db
        self._store = store
        self._agents = agents
        self._images = images
        self._work = work
        self._work_store = work_store
        self._hub = hub
        self._clock = clock
        self._executors = executors

    # ---- inside the caller's transaction

    def accept(self, tx: Tx, run: Run, version: Version | None) -> None:
        """Keep a run, and have it done; without a version it waits for the agent's first build."""
        self._store.insert(tx, run)
        self._say(tx, run.id, "run.queued", agent=run.agent_name)
        if version is not None:
            self._enqueue(tx, run, version)

    def stop(self, tx: Tx, run: Run) -> Run:
        """Ask for the run's end; it comes at once unless an attempt goes on."""
        attempts = self._store.attempts(tx, run.id)
        phase = attempts[-1].phase if attempts else AttemptPhase.ENDED
        if phase is AttemptPhase.EXITED:
            return run  # it is over by itself, and only its output is still being kept
        item = self._work_store.get(tx, work_id(run.id))
        if item is not None and item.state is WorkState.LEASED:
            self._work.request_cancel(tx, KIND, run.id)
        elif phase is AttemptPhase.ENDED:
            self._work.request_cancel(tx, KIND, run.id)  # nobody holds it: the work is done by this
            return self._end(tx, run, CANCELLED)
        # Else nobody holds it now, but an attempt goes on: whoever takes it up next ends it.
        asked = replace(run, cancel_requested=True)
        self._store.save(tx, asked)
        self._say(tx, run.id, "run.cancel_requested")
        return asked

    # ---- agents.ports.VersionListener

    def version_ready(self, tx: Tx, agent: Agent, version: Version) -> None:
        """Start what waited for the agent's first build."""
        for run in self._store.awaiting_version(tx, agent.id):
            ready = replace(run, version_id=version.id)
            self._store.save(tx, ready)
            self._enqueue(tx, ready, version)

    def build_failed(self, tx: Tx, agent: Agent, failure: Failure) -> None:
        """End what waited for the agent's first build."""
        said = Failure(
            code="build_failed",
            message=f"The agent could not be built: {failure.message}",
            hint=failure.hint or f"Look at its builds: skep builds {agent.name}",
        )
        for run in self._store.awaiting_version(tx, agent.id):
            self._end(tx, run, Outcome(happening=Happening.FAILED, failure=said))

    def agent_removed(self, tx: Tx, agent: Agent) -> None:
        """End all that goes on for the agent."""
        query = PageQuery(limit=MAX_LIMIT, status=_UNFINISHED)
        while True:
            page = self._store.all(tx, agent.project_id, agent.id, query)
            for run in page.items:
                if not run.cancel_requested:
                    self.stop(tx, run)
            if page.next is None:
                return
            query = replace(query, cursor=page.next)

    # ---- work.ports.Handler

    async def run(self, item: WorkItem, lease: Lease) -> None:
        """Have the run executed, from wherever it stopped."""
        run = await self._db.read(lambda tx: self._store.get(tx, RunId(item.ref)))
        if run is None or run.status.final:
            await self._db.write(lambda tx: self._work_store.finish(tx, lease))
            return
        if run.attempts == 0 and (wrong := await self._wrong_inputs(run)) is not None:
            await self._db.write(lambda tx: self._refuse(tx, run.id, lease, wrong))
            return
        await self._executors[run.kind].execute(run, lease)

    async def cancel(self, item: WorkItem) -> None:
        """Wake whoever executes the run."""
        run = await self._db.read(lambda tx: self._store.get(tx, RunId(item.ref)))
        if run is not None:
            await self._executors[run.kind].cancel(run)

    def given_up(self, tx: Tx, item: WorkItem, error: str) -> None:  # noqa: ARG002  the log has it
        """End a run that nobody will work on any more; *error* is for the server's log, not for its owner."""
        run = self._store.get(tx, RunId(item.ref))
        if run is None or run.status.final:
            return
        self._end(tx, run, GAVE_UP)
        if isinstance(executor := self._executors[run.kind], Abandons):
            executor.abandon(tx, run)

    async def gave_up(self, item: WorkItem) -> None:
        """Send away those who follow the log of the attempt that was ended."""
        run = await self._db.read(lambda tx: self._store.get(tx, RunId(item.ref)))
        if run is not None and isinstance(executor := self._executors[run.kind], Abandons):
            await executor.abandoned(run)

    # ---- parts

    def _enqueue(self, tx: Tx, run: Run, version: Version) -> None:
        image = self._images.image(tx, version.image_id)
        work = NewWork(
            id=work_id(run.id),
            kind=KIND,
            ref=run.id,
            project_id=run.project_id,
            node_id=None if image is None else image.node_id,
            keys=work_keys(run),
            max_attempts=_MAX_CLAIMS,
        )
        self._work.enqueue(tx, work)

    async def _wrong_inputs(self, run: Run) -> InvalidError | None:
        """Check the inputs once more: when they came, the source's own schema may not have been known."""
        schema = await self._db.read(lambda tx: self._schema(tx, run))
        try:
            await asyncio.to_thread(check_inputs, run.inputs, schema)
        except InvalidError as error:
            return error
        return None

    def _schema(self, tx: Tx, run: Run) -> Mapping[str, Any] | None:
        version = None if run.version_id is None else self._agents.version(tx, run.version_id)
        return None if version is None else inputs_schema(version.config, self._images.image(tx, version.image_id))

    def _refuse(self, tx: Tx, run_id: RunId, lease: Lease, wrong: InvalidError) -> None:
        self._work_store.check(tx, lease)
        run = self._store.get(tx, run_id)
        if run is not None and not run.status.final:
            failure = Failure(code=wrong.code, message=wrong.message, hint=wrong.hint or "")
            self._end(tx, run, Outcome(happening=Happening.FAILED, failure=failure))
        self._work_store.finish(tx, lease)

    def _end(self, tx: Tx, run: Run, outcome: Outcome) -> Run:
        status = becomes(run.status, outcome.happening)
        ended = replace(run, status=status, failure=outcome.failure, ended_ms=to_ms(self._clock.now()))
        self._store.save(tx, ended)
        self._say(tx, run.id, f"run.{status.value}", **ended_data(ended))
        return ended

    def _say(self, tx: Tx, run_id: RunId, what: str, **data: object) -> None:
        say(tx, self._db, self._store, self._hub, run_id, to_ms(self._clock.now()), what, **data)
