"""Runs: accepted, looked at, followed, cancelled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Also, Database, Tx
from skep.kernel.errors import ConflictError, InvalidError, LimitError, NotFoundError, UnavailableError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.kernel.paging import MAX_LIMIT, Page, PageQuery
from skep.product.access.model import Principal, Scope
from skep.product.access.service import AccessService, require
from skep.product.agents.model import Agent, Kind, Version, VersionId
from skep.product.agents.ports import AgentStore
from skep.product.agents.schema import check_inputs
from skep.product.agents.service import find_agent
from skep.product.blobs.model import LogFrame
from skep.product.blobs.ports import BlobStore, LogStore
from skep.product.images.model import BuildStatus
from skep.product.images.ports import ImageStore
from skep.product.runs.machine import inputs_schema
from skep.product.runs.model import (
    AgentUsage,
    Artifact,
    Attempt,
    AttemptPhase,
    Run,
    RunEvent,
    RunId,
    RunLimits,
    RunOutput,
    RunStatus,
)
from skep.product.runs.output import shown
from skep.product.runs.ports import Executor, RunStore
from skep.product.runs.queue import RunQueue

_MIN_TIMEOUT_S = 0.1
#: Runs that the sum of usage looks at: the newest ones.
_SUMMED = 10_000


def find_run(tx: Tx, store: RunStore, principal: Principal, run_id: RunId) -> Run:
    """Return a run of the principal's project; `NotFoundError` if there is none."""
    run = store.get(tx, run_id)
    if run is None or run.project_id != principal.project_id:
        raise NotFoundError(
            f"There is no run {run_id[:100]}.", code="run_not_found", hint="skep runs lists those there are."
        )
    return run


class RunService:
    """The verbs of runs."""

    def __init__(
        self,
        *,
        db: Database,
        store: RunStore,
        agents: AgentStore,
        images: ImageStore,
        queue: RunQueue,
        access: AccessService,
        logs: LogStore,
        blobs: BlobStore,
        hub: Hub,
        clock: Clock,
        ids: IdSource,
        executors: Mapping[Kind, Executor],
        limits: RunLimits,
        free_bytes: Callable[[], int],
    ) -> None:
        self._db = db
        self._store = store
        self._agents = agents
        self._images = images
        self._queue = queue
        self._access = access
        self._logs = logs
        self._blobs = blobs
        self._hub = hub
        self._clock = clock
        self._ids = ids
        self._executors = executors
        self._limits = limits
        self._free_bytes = free_bytes

    # ---- acting

    async def start(
        self,
        principal: Principal,
        agent: str,
        inputs: Mapping[str, Any],
        timeout_s: float | None = None,
        also: Also[Run] | None = None,
    ) -> Run:
        """Accept a run of *agent* (id or name); it is on disk when this returns.

        Raises:
            InvalidError: the inputs do not fit the agent's schema, each wrong field named; or the time limit.
            ConflictError: `agent_not_built`.
            LimitError: `queue_full`.
            UnavailableError: `disk_full`; nothing was accepted.
        """
        require(principal, Scope.INVOKE)
        self._check_timeout(timeout_s)
        await self._check_disk()
        while True:
            version_id, schema = await self._db.read(lambda tx: self._schema(tx, principal, agent))
            await asyncio.to_thread(check_inputs, inputs, schema)
            work = self._accept(principal, agent, inputs, timeout_s, version_id, also)
            run = await self._db.write(work)
            if run is not None:
                return run

    async def cancel(self, principal: Principal, run_id: RunId) -> Run:
        """Ask for a run's end: one that only waits is over at once, one that is over stays as it is."""
        require(principal, Scope.INVOKE)

        def work(tx: Tx) -> Run:
            run = self._find(tx, principal, run_id)
            if run.status.final or run.cancel_requested:
                return run
            self._access.record(tx, principal, "run.cancel", run.id, agent=run.agent_name)
            return self._queue.stop(tx, run)

        run = await self._db.write(work)
        if run.cancel_requested and not run.status.final:
            await self._executors[run.kind].cancel(run)
        return run

    # ---- looking

    async def get(self, principal: Principal, run_id: RunId) -> Run:
        """Return a run."""
        require(principal, Scope.READ)
        return await self._db.read(lambda tx: self._find(tx, principal, run_id))

    async def all(
        self, principal: Principal, query: PageQuery, *, agent: str | None = None, owner: str | None = None
    ) -> Page[Run]:
        """List the runs of the project, of one agent (id or name) or of one owner's agents, newest first."""
        require(principal, Scope.READ)

        def work(tx: Tx) -> Page[Run]:
            of = None if agent is None else find_agent(tx, self._agents, principal.project_id, agent).id
            return self._store.all(tx, principal.project_id, of, query, owner=owner)

        return await self._db.read(work)

    async def usage(self, principal: Principal) -> list[AgentUsage]:
        """Sum, per agent, what the newest runs of the project used."""
        require(principal, Scope.READ)
        return await self._db.read(lambda tx: self._usage(tx, principal))

    async def events(
        self, principal: Principal, run_id: RunId, after: int = 0, limit: int = MAX_LIMIT
    ) -> Page[RunEvent]:
        """List a run's events behind the event *after*; the cursor of the next page is the number of the last."""
        require(principal, Scope.READ)
        _, found = await self._db.read(lambda tx: self._run_and_events(tx, principal, run_id, after, limit + 1))
        return Page(items=found[:limit], next=str(found[limit - 1].seq) if len(found) > limit else None)

    async def follow_events(self, principal: Principal, run_id: RunId, after: int = 0) -> AsyncIterator[RunEvent]:
        """Yield a run's events behind *after* as they come; ends behind the last one of a run that is over."""
        require(principal, Scope.READ)
        with self._hub.subscribe(f"run:{run_id}") as woken:
            while True:
                woken.clear()
                look = partial(self._run_and_events, principal=principal, run_id=run_id, after=after)
                run, events = await self._db.read(look)
                for event in events:
                    yield event
                    after = event.seq
                if events:
                    continue
                if run.status.final:
                    return
                await woken.wait()

    async def log(
        self, principal: Principal, run_id: RunId, offset: int = 0, *, attempt: int | None = None
    ) -> list[LogFrame]:
        """Return frames of the log of an attempt (None: the latest) from *offset* on."""
        require(principal, Scope.READ)
        _, found = await self._db.read(lambda tx: self._run_and_attempt(tx, principal, run_id, attempt))
        return [] if found is None else await self._logs.read(found.log_id, offset)

    async def follow_log(
        self, principal: Principal, run_id: RunId, offset: int = 0, *, attempt: int | None = None
    ) -> AsyncIterator[LogFrame]:
        """Yield frames of an attempt's log as they come; waits for the attempt, ends with it."""
        require(principal, Scope.READ)
        found = await self._awaited(principal, run_id, attempt)
        if found is not None:
            if found.phase is AttemptPhase.ENDED and not (await self._logs.position(found.log_id)).closed:
                # Given up on by a server that died before it could close the log: nobody else would.
                await self._logs.close(found.log_id)
            async for frame in self._logs.follow(found.log_id, offset):
                yield frame

    async def output(self, principal: Principal, run_id: RunId, *, attempt: int | None = None) -> RunOutput:
        """Return what an attempt (None: the latest) printed so far."""
        require(principal, Scope.READ)
        _, found = await self._db.read(lambda tx: self._run_and_attempt(tx, principal, run_id, attempt))
        if found is None:
            return RunOutput()
        return await shown(self._logs, found.log_id, truncated=found.exit is not None and found.exit.truncated)

    async def artifacts(self, principal: Principal, run_id: RunId) -> list[Artifact]:
        """List the files that a run left."""
        require(principal, Scope.READ)
        return await self._db.read(lambda tx: self._store.artifacts(tx, self._find(tx, principal, run_id).id))

    async def open_artifact(
        self, principal: Principal, run_id: RunId, path: str
    ) -> tuple[Artifact, AsyncIterator[bytes]]:
        """Return a file that a run left, and its bytes; *path* is compared with those kept, nothing else."""
        for artifact in await self.artifacts(principal, run_id):
            if artifact.path == path:
                return artifact, self._blobs.get(artifact.blob_id)
        raise NotFoundError(f"The run left no such file: {path[:200]}.", code="artifact_not_found")

    # ---- parts

    def _accept(
        self,
        principal: Principal,
        id_or_name: str,
        inputs: Mapping[str, Any],
        timeout_s: float | None,
        version_id: VersionId | None,
        also: Also[Run] | None,
    ) -> Callable[[Tx], Run | None]:
        now_ms = to_ms(self._clock.now())
        run_id = RunId(self._ids.new("run", now_ms))

        def work(tx: Tx) -> Run | None:
            agent = find_agent(tx, self._agents, principal.project_id, id_or_name)
            if agent.version_id != version_id or (version_id is None and not self._is_building(tx, agent)):
                return None  # a build ended meanwhile: what it brought counts
            if self._store.count_unfinished(tx, principal.project_id) >= self._limits.max_unfinished:
                raise LimitError(
                    f"{self._limits.max_unfinished} runs of this project are not finished yet.",
                    code="queue_full",
                    hint="Wait until some have ended, or cancel some.",
                    retry_after_s=5,
                )
            run = Run(
                id=run_id,
                project_id=agent.project_id,
                agent_id=agent.id,
                agent_name=agent.name,
                kind=agent.kind,
                version_id=version_id,
                status=RunStatus.QUEUED,
                inputs=inputs,
                timeout_s=timeout_s,
                created_ms=now_ms,
            )
            self._queue.accept(tx, run, self._version(tx, version_id))
            self._access.record(tx, principal, "run.start", run.id, agent=agent.name)
            if also is not None:
                also(tx, run)
            return run

        return work

    def _schema(self, tx: Tx, principal: Principal, id_or_name: str) -> tuple[VersionId | None, Any]:
        """Return which version a run would get, and what its inputs must fit."""
        agent = find_agent(tx, self._agents, principal.project_id, id_or_name)
        version = self._version(tx, agent.version_id)
        if version is not None:
            return version.id, inputs_schema(version.config, self._images.image(tx, version.image_id))
        if not self._is_building(tx, agent):
            raise ConflictError(
                f"The agent {agent.name} is not built.",
                code="agent_not_built",
                hint=f"Build it first: POST /api/v1/agents/{agent.id}/build",
            )
        return None, agent.config.inputs_schema

    def _is_building(self, tx: Tx, agent: Agent) -> bool:
        build = None if agent.build_id is None else self._images.build(tx, agent.build_id)
        return build is not None and build.status in (BuildStatus.QUEUED, BuildStatus.RUNNING)

    def _version(self, tx: Tx, version_id: VersionId | None) -> Version | None:
        return None if version_id is None else self._agents.version(tx, version_id)

    def _check_timeout(self, timeout_s: float | None) -> None:
        most = self._limits.max_timeout_s
        if timeout_s is not None and not _MIN_TIMEOUT_S <= timeout_s <= most:
            said = f"must be {_MIN_TIMEOUT_S:g} to {most:g} seconds"
            raise InvalidError(f"timeout_s {said}.", fields={"timeout_s": said})

    async def _check_disk(self) -> None:
        if await asyncio.to_thread(self._free_bytes) < self._limits.min_free_bytes:
            raise UnavailableError(
                "The disk of the data folder is nearly full: no new runs are taken.",
                code="disk_full",
                hint="Free some space, or lower SKEP_MIN_FREE_DISK_MB.",
            )

    async def _awaited(self, principal: Principal, run_id: RunId, number: int | None) -> Attempt | None:
        """Return the attempt once it is there; None if the run is over and never had it."""
        with self._hub.subscribe(f"run:{run_id}") as woken:
            while True:
                woken.clear()
                run, found = await self._db.read(lambda tx: self._run_and_attempt(tx, principal, run_id, number))
                if found is not None or run.status.final:
                    return found
                await woken.wait()

    def _find(self, tx: Tx, principal: Principal, run_id: RunId) -> Run:
        return find_run(tx, self._store, principal, run_id)

    def _run_and_events(
        self, tx: Tx, principal: Principal, run_id: RunId, after: int, limit: int = MAX_LIMIT
    ) -> tuple[Run, list[RunEvent]]:
        return self._find(tx, principal, run_id), self._store.events(tx, run_id, after=after, limit=limit)

    def _run_and_attempt(
        self, tx: Tx, principal: Principal, run_id: RunId, number: int | None
    ) -> tuple[Run, Attempt | None]:
        run = self._find(tx, principal, run_id)
        attempts = self._store.attempts(tx, run_id)
        if number is None:
            return run, attempts[-1] if attempts else None
        return run, next((attempt for attempt in attempts if attempt.number == number), None)

    def _usage(self, tx: Tx, principal: Principal) -> list[AgentUsage]:
        found: dict[str, list[Run]] = {}
        query = PageQuery(limit=MAX_LIMIT)
        for _ in range(_SUMMED // MAX_LIMIT):
            page = self._store.all(tx, principal.project_id, None, query)
            for run in page.items:
                found.setdefault(run.agent_id, []).append(run)
            if page.next is None:
                break
            query = replace(query, cursor=page.next)
        return [
            AgentUsage(
                agent_id=runs[0].agent_id,
                agent_name=runs[0].agent_name,
                runs=Counter(run.status for run in runs),
                duration_s=sum(run.usage.duration_s for run in runs),
                cpu_seconds=sum(run.usage.cpu_seconds for run in runs),
            )
            for runs in found.values()
        ]
