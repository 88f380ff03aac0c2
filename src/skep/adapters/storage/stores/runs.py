"""Rows of runs, attempts, events and artifacts."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, bindparam, delete, func, insert, select, text
from sqlalchemy.sql.dml import ReturningInsert

from skep.adapters.storage.mapper import Mapper, dumps, on
from skep.adapters.storage.tables import (
    AWAITING,
    ENDED,
    UNFINISHED,
    agents,
    artifacts,
    attempts,
    questions,
    run_events,
    runs,
)
from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.blobs.model import BlobId, LogId, Released
from skep.product.runs.model import Artifact, Attempt, AttemptId, Run, RunEvent, RunId


class SqlRunStore:
    """Implements `runs.ports.RunStore`."""

    def __init__(self) -> None:
        self._runs = Mapper(runs, Run)
        self._attempts = Mapper(attempts, Attempt)
        self._events = Mapper(run_events, RunEvent)
        self._artifacts = Mapper(artifacts, Artifact)
        self._awaiting = self._runs.by("agent_id").where(text(AWAITING)).order_by(runs.c.id)
        self._unfinished = (
            select(func.count()).select_from(runs).where(runs.c.project_id == bindparam("project_id"), text(UNFINISHED))
        )
        self._attempts_of = self._attempts.by("run_id").order_by(attempts.c.number)
        self._events_after = (
            self._events.by("run_id")
            .where(run_events.c.seq > bindparam("after"))
            .order_by(run_events.c.seq)
            .limit(bindparam("limit"))
        )
        self._append = _append_statement()
        self._clear_artifacts = delete(artifacts).where(artifacts.c.run_id == bindparam("run"))
        self._artifacts_of = self._artifacts.by("run_id").order_by(artifacts.c.path)
        self._old = (
            select(runs.c.id)
            .where(text(ENDED), runs.c.ended_ms < bindparam("before_ms"))
            .order_by(runs.c.ended_ms)
            .limit(bindparam("limit"))
        )
        these: BindParameter[Any] = bindparam("ids", expanding=True)
        self._logs_of = select(attempts.c.log_id).where(attempts.c.run_id.in_(these))
        self._blobs_of = select(artifacts.c.blob_id).where(artifacts.c.run_id.in_(these))
        self._drop = (
            *(delete(table).where(table.c.run_id.in_(these)) for table in (questions, artifacts, run_events, attempts)),
            delete(runs).where(runs.c.id.in_(these)),
        )
        self._named = (
            select(attempts.c.log_id).where(attempts.c.log_id.in_(these)),
            select(artifacts.c.blob_id).where(artifacts.c.blob_id.in_(these)),
        )

    def insert(self, tx: Tx, run: Run) -> None:
        """Add a run."""
        self._runs.insert(tx, run)

    def save(self, tx: Tx, run: Run) -> None:
        """Replace the run's row."""
        self._runs.save(tx, run)

    def get(self, tx: Tx, run_id: RunId) -> Run | None:
        """Return the run of this id."""
        return self._runs.get(tx, run_id)

    def all(
        self, tx: Tx, project_id: str, agent_id: str | None, query: PageQuery, *, owner: str | None = None
    ) -> Page[Run]:
        """List runs of a project, of one agent or of one owner's agents, newest first."""
        where = [runs.c.project_id == project_id]
        if agent_id is not None:
            where.append(runs.c.agent_id == agent_id)
        if owner is not None:
            owned = select(agents.c.id).where(agents.c.project_id == project_id, agents.c.owner == owner)
            where.append(runs.c.agent_id.in_(owned))
        return self._runs.page(tx, query, *where, newest_first=True, status="status", search=("id", "agent_name"))

    def awaiting_version(self, tx: Tx, agent_id: str) -> list[Run]:
        """List the queued runs of an agent that have no version yet."""
        return self._runs.all(tx, self._awaiting, {"agent_id": agent_id})

    def count_unfinished(self, tx: Tx, project_id: str) -> int:
        """Return how many runs of the project are not final."""
        return on(tx).execute(self._unfinished, {"project_id": project_id}).scalar_one()

    def insert_attempt(self, tx: Tx, attempt: Attempt) -> None:
        """Add an attempt."""
        self._attempts.insert(tx, attempt)

    def save_attempt(self, tx: Tx, attempt: Attempt) -> None:
        """Replace the attempt's row."""
        self._attempts.save(tx, attempt)

    def attempts(self, tx: Tx, run_id: RunId) -> list[Attempt]:
        """List a run's attempts, first to last."""
        return self._attempts.all(tx, self._attempts_of, {"run_id": run_id})

    def attempt(self, tx: Tx, attempt_id: AttemptId) -> Attempt | None:
        """Return the attempt of this id."""
        return self._attempts.get(tx, attempt_id)

    def append_event(self, tx: Tx, run_id: RunId, at_ms: int, type_: str, data: dict[str, object]) -> RunEvent:
        """Add an event with the next `seq`."""
        values = {"run": run_id, "at": at_ms, "what": type_, "json": dumps(data)}
        seq = on(tx).execute(self._append, values).scalar_one()
        return RunEvent(run_id=run_id, seq=seq, at_ms=at_ms, type=type_, data=data)

    def events(self, tx: Tx, run_id: RunId, *, after: int = 0, limit: int = 500) -> list[RunEvent]:
        """List events with `seq` > *after*, in order."""
        return self._events.all(tx, self._events_after, {"run_id": run_id, "after": after, "limit": limit})

    def put_artifacts(self, tx: Tx, run_id: RunId, artifacts: list[Artifact]) -> None:
        """Set the run's artifacts."""
        on(tx).execute(self._clear_artifacts, {"run": run_id})
        for artifact in artifacts:
            self._artifacts.insert(tx, artifact)

    def artifacts(self, tx: Tx, run_id: RunId) -> list[Artifact]:
        """List the run's artifacts by path."""
        return self._artifacts.all(tx, self._artifacts_of, {"run_id": run_id})

    def prune(self, tx: Tx, *, before_ms: int, limit: int) -> Released:
        """Delete runs that ended before *before_ms*, oldest first, at most *limit*, with all that belongs to them."""
        ids = list(on(tx).execute(self._old, {"before_ms": before_ms, "limit": limit}).scalars())
        logs = on(tx).execute(self._logs_of, {"ids": ids}).scalars().all()
        blobs = on(tx).execute(self._blobs_of, {"ids": ids}).scalars().all()
        for statement in self._drop if ids else ():
            on(tx).execute(statement, {"ids": ids})
        return Released(count=len(ids), logs=tuple(map(LogId, logs)), blobs=tuple(map(BlobId, blobs)))

    def named(self, tx: Tx, files: Collection[str]) -> set[str]:
        """Return those of the logs and blobs *files* that an attempt or an artifact names."""
        return {name for query in self._named for name in on(tx).execute(query, {"ids": list(files)}).scalars()}


def _append_statement() -> ReturningInsert[int]:
    """Build the INSERT that finds the next number itself: one statement, so that no number is given twice."""
    c = run_events.c
    last = select(func.coalesce(func.max(c.seq), 0)).where(c.run_id == bindparam("run")).scalar_subquery()
    return (
        insert(run_events)
        .values(
            run_id=bindparam("run"), seq=last + 1, at_ms=bindparam("at"), type=bindparam("what"), data=bindparam("json")
        )
        .returning(c.seq)
    )
