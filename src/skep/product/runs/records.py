"""What an executor writes down: each method is one commit, made before the effect that follows it.

Every commit first checks the lease, so that an executor that was replaced writes nothing any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.errors import NotFoundError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.access.model import ProjectId
from skep.product.access.service import AccessService
from skep.product.agents.model import Version
from skep.product.agents.ports import AgentStore
from skep.product.blobs.model import LogId
from skep.product.images.model import Image
from skep.product.images.ports import ImageStore
from skep.product.runs.artifacts import Kept
from skep.product.runs.machine import (
    CANCELLED,
    GAVE_UP,
    Happening,
    Outcome,
    after_loss,
    backoff_ms,
    becomes,
    goes_on,
    lost_exit,
)
from skep.product.runs.model import Attempt, AttemptId, AttemptPhase, Run, RunId, Usage
from skep.product.runs.ports import RunStore
from skep.product.sandboxes.model import Exit, Handle, Phase, Sandbox, SandboxId
from skep.product.sandboxes.ports import SandboxStore
from skep.product.work.model import Lease
from skep.product.work.ports import WorkStore

#: Artifacts that were left out and are named in the event that tells of them.
_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that an executor needs to know to go on."""

    run: Run
    version: Version
    image: Image
    #: The ended attempts, and the one that goes on, if one does.
    earlier: Sequence[Attempt]
    attempt: Attempt | None
    sandbox: Sandbox | None


def say(tx: Tx, db: Database, store: RunStore, hub: Hub, run_id: RunId, at_ms: int, what: str, **data: Any) -> None:
    """Append an event to a run, and wake its followers once it is committed."""
    store.append_event(tx, run_id, at_ms, what, data)
    hub.announce(db, tx, f"run:{run_id}")


def ended_data(run: Run) -> dict[str, Any]:
    """Return what the last event of a run says."""
    failure = run.failure
    error = None if failure is None else {"code": failure.code, "message": failure.message}
    return {"exit_code": run.exit_code, "error": error}


class Records:
    """The commits of one kind of executor."""

    def __init__(
        self,
        *,
        db: Database,
        runs: RunStore,
        agents: AgentStore,
        images: ImageStore,
        sandboxes: SandboxStore,
        work: WorkStore,
        access: AccessService,
        hub: Hub,
        clock: Clock,
        ids: IdSource,
        node_id: str,
    ) -> None:
        self._db = db
        self._runs = runs
        self._agents = agents
        self._images = images
        self._sandboxes = sandboxes
        self._work = work
        self._access = access
        self._hub = hub
        self._clock = clock
        self._ids = ids
        self._node_id = node_id

    def now_ms(self) -> int:
        """Return the time."""
        return to_ms(self._clock.now())

    async def load(self, run_id: RunId) -> State:
        """Read how far the run has come."""

        def work(tx: Tx) -> State:
            run = self._run(tx, run_id)
            version = None if run.version_id is None else self._agents.version(tx, run.version_id)
            image = None if version is None else self._images.image(tx, version.image_id)
            if version is None or image is None:
                raise NotFoundError(f"The version of {run_id} is gone.", code="version_not_found")
            attempts = self._runs.attempts(tx, run_id)
            live = attempts[-1] if attempts and attempts[-1].phase is not AttemptPhase.ENDED else None
            return State(
                run=run,
                version=version,
                image=image,
                earlier=attempts[:-1] if live is not None else attempts,
                attempt=live,
                sandbox=None if live is None else self._sandboxes.get(tx, live.sandbox_id),
            )

        return await self._db.read(work)

    async def attempts(self, run_id: RunId) -> list[Attempt]:
        """Read the attempts at a run."""
        return await self._db.read(lambda tx: self._runs.attempts(tx, run_id))

    async def begin(self, run_id: RunId, lease: Lease) -> bool:
        """Write down the intent of an attempt; False if there is nothing to attempt any more."""

        def work(tx: Tx) -> bool:
            self._work.check(tx, lease)
            run = self._run(tx, run_id)
            if run.status.final:
                self._work.finish(tx, lease)
                return False
            if run.cancel_requested:
                self._end_run(tx, run, CANCELLED)
                self._work.finish(tx, lease)
                return False
            now_ms = self.now_ms()
            attempt = Attempt(
                id=AttemptId(self._ids.new("att", now_ms)),
                run_id=run_id,
                number=run.attempts + 1,
                phase=AttemptPhase.INTENDED,
                sandbox_id=SandboxId(self._ids.new("sbx", now_ms)),
                log_id=LogId(self._ids.new("log", now_ms)),
                node_id=self._node_id,
                created_ms=now_ms,
            )
            self._sandboxes.insert(
                tx,
                Sandbox(
                    id=attempt.sandbox_id,
                    project_id=run.project_id,
                    node_id=self._node_id,
                    owner=attempt.id,
                    phase=Phase.INTENDED,
                    handle=None,
                    created_ms=now_ms,
                ),
            )
            self._runs.insert_attempt(tx, attempt)
            status = becomes(run.status, Happening.BEGUN)
            self._runs.save(tx, replace(run, status=status, attempts=attempt.number))
            self._say(tx, run_id, "attempt.created", attempt=attempt.number)
            return True

        return await self._db.write(work)

    async def created(self, attempt: Attempt, lease: Lease, handle: Handle) -> None:
        """Write down that the sandbox exists."""

        def work(tx: Tx) -> None:
            self._work.check(tx, lease)
            self._sandboxes.set_phase(tx, attempt.sandbox_id, Phase.READY, handle)
            self._runs.save_attempt(tx, replace(attempt, phase=AttemptPhase.CREATED))

        await self._db.write(work)

    async def started(self, state: State, attempt: Attempt, lease: Lease) -> None:
        """Write down that the command was started: the time limit counts from now."""

        def work(tx: Tx) -> None:
            self._work.check(tx, lease)
            now_ms = self.now_ms()
            run = self._run(tx, attempt.run_id)
            if run.started_ms is None:
                self._runs.save(tx, replace(run, started_ms=now_ms))
            self._runs.save_attempt(tx, replace(self._now(tx, attempt), phase=AttemptPhase.STARTED, started_ms=now_ms))
            self._say(tx, run.id, "attempt.started", attempt=attempt.number)
            project_id = ProjectId(run.project_id)
            for name, secret in state.version.config.env_from_secret.items():
                said = {"variable": name, "secret": secret}
                self._access.record(tx, None, "run.env_from_secret", run.id, project_id=project_id, **said)

        await self._db.write(work)

    async def exited(self, attempt: Attempt, lease: Lease, end: Exit) -> None:
        """Write down how the command ended; a cancel that comes later comes too late."""

        def work(tx: Tx) -> None:
            self._work.check(tx, lease)
            ended = goes_on(self._now(tx, attempt), self.now_ms())
            self._runs.save_attempt(tx, replace(ended, phase=AttemptPhase.EXITED, exit=end))
            said = {"attempt": attempt.number, "reason": end.reason.value, "code": end.code, "signal": end.signal}
            self._say(tx, attempt.run_id, "attempt.exited", **said)

        await self._db.write(work)

    async def ended(
        self, attempt: Attempt, lease: Lease, end: Exit, outcome: Outcome, kept: Kept, usage: Usage
    ) -> None:
        """Write down that everything is kept, and the run's end with it."""

        def work(tx: Tx) -> None:
            self._end_attempt(tx, attempt, lease, end)
            run = self._run(tx, attempt.run_id)
            used = replace(run, result=kept.result, exit_code=end.code, usage=_sum(run.usage, usage))
            self._runs.put_artifacts(tx, run.id, list(kept.artifacts))
            if kept.left_out:
                named = list(kept.left_out[:_NAMED])
                self._say(tx, run.id, "artifacts.left_out", count=len(kept.left_out), names=named)
            self._end_run(tx, used, outcome)
            self._work.finish(tx, lease)

        await self._db.write(work)

    async def lost(
        self, state: State, attempt: Attempt, lease: Lease, end: Exit, *, maybe_started: bool, retry_s: float
    ) -> None:
        """Write down that the attempt was lost, and whether there will be another."""

        def work(tx: Tx) -> None:
            self._end_attempt(tx, attempt, lease, end)
            run = self._run(tx, attempt.run_id)
            decided = after_loss(
                end,
                attempts=state.earlier,
                maybe_started=maybe_started,
                max_attempts=state.version.config.max_attempts,
                cancel_requested=run.cancel_requested,
            )
            again_ms = self.now_ms() + backoff_ms(attempt.number, retry_s)
            self._say(tx, run.id, "attempt.lost", attempt=attempt.number, why=end.message)
            if decided.happening is not Happening.RETRIED:
                self._end_run(tx, run, decided)
                self._work.finish(tx, lease)
                return
            waiting = replace(run, status=becomes(run.status, Happening.RETRIED))
            self._work.go_on(tx, lease.work_id)  # what is begun anew waits for a place like any other
            if self._work.retry(tx, lease, not_before_ms=again_ms, error="lost"):
                self._runs.save(tx, waiting)
                self._say(tx, run.id, "run.queued", not_before_ms=again_ms)
            else:
                self._end_run(tx, waiting, GAVE_UP)

        await self._db.write(work)

    def abandon(self, tx: Tx, run: Run) -> Attempt | None:
        """End the attempt that goes on, without a lease: nobody holds one any more. Return that attempt."""
        attempts = self._runs.attempts(tx, run.id)
        if not attempts or attempts[-1].phase is AttemptPhase.ENDED:
            return None
        self._close_attempt(tx, attempts[-1], lost_exit("it was given up", maybe_started=True))
        return attempts[-1]

    async def forget(self, sandbox_id: SandboxId) -> None:
        """Remove the row of a sandbox that was destroyed."""
        await self._db.write(lambda tx: self._sandboxes.delete(tx, [sandbox_id]))

    def _end_attempt(self, tx: Tx, attempt: Attempt, lease: Lease, end: Exit) -> None:
        self._work.check(tx, lease)
        self._close_attempt(tx, attempt, end)

    def _close_attempt(self, tx: Tx, attempt: Attempt, end: Exit) -> None:
        now_ms = self.now_ms()
        last = goes_on(self._now(tx, attempt), now_ms)
        ended = replace(last, phase=AttemptPhase.ENDED, exit=end, ended_ms=now_ms)
        self._runs.save_attempt(tx, ended)
        if self._sandboxes.get(tx, attempt.sandbox_id) is not None:
            self._sandboxes.set_phase(tx, attempt.sandbox_id, Phase.DESTROYING)

    def _end_run(self, tx: Tx, run: Run, outcome: Outcome) -> None:
        status = becomes(run.status, outcome.happening)
        ended = replace(run, status=status, failure=outcome.failure, ended_ms=self.now_ms())
        self._runs.save(tx, ended)
        self._say(tx, run.id, f"run.{status.value}", **ended_data(ended))

    def _now(self, tx: Tx, attempt: Attempt) -> Attempt:
        """Return the attempt with what others have written since it was read: how it waits for a person."""
        return self._runs.attempt(tx, attempt.id) or attempt

    def _run(self, tx: Tx, run_id: RunId) -> Run:
        run = self._runs.get(tx, run_id)
        if run is None:
            raise NotFoundError(f"There is no run {run_id}.", code="run_not_found")
        return run

    def _say(self, tx: Tx, run_id: RunId, what: str, **data: Any) -> None:
        say(tx, self._db, self._runs, self._hub, run_id, self.now_ms(), what, **data)


def _sum(before: Usage, now: Usage) -> Usage:
    return Usage(
        duration_s=before.duration_s + now.duration_s,
        cpu_seconds=before.cpu_seconds + now.cpu_seconds,
        memory_peak_bytes=max(before.memory_peak_bytes, now.memory_peak_bytes),
    )
