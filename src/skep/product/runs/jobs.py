"""Executes runs of job agents: one command in one sandbox, followed to its end.

Every round reads how far the attempt has come, takes the next step and commits it. So a crash, a driver that is
away and a database that is away are all the same: the next round, perhaps in another process, goes on from there.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

from skep.kernel.database import Tx
from skep.kernel.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LimitError,
    NotFoundError,
    SkepError,
    TooLargeError,
    UnavailableError,
)
from skep.kernel.events import Hub
from skep.product.blobs.ports import BlobStore, LogStore
from skep.product.images.model import Failure
from skep.product.runs import door, plan
from skep.product.runs.artifacts import Kept, keep
from skep.product.runs.asking import Asking
from skep.product.runs.enforcer import Enforcer
from skep.product.runs.machine import (
    CANCELLED,
    Happening,
    Outcome,
    clean,
    lost_exit,
    outcome,
    overdue_in_s,
    time_limit_s,
)
from skep.product.runs.model import Attempt, AttemptPhase, Run, RunId, RunLimits, Usage
from skep.product.runs.output import SLACK, copy_output, merged
from skep.product.runs.ports import JobDriver
from skep.product.runs.records import Records, State
from skep.product.runs.waiting import AskDesk, Waiting
from skep.product.sandboxes.model import CommandId, Exit, ExitReason, Handle
from skep.product.secrets.service import SecretService
from skep.product.work.model import Lease

log = logging.getLogger(__name__)

#: What no repeat mends: the run ends in these words.
_HOPELESS = (InvalidError, ForbiddenError, TooLargeError, ConflictError)
_MAX_PAUSE_S = 5.0
#: What a driver says of a sandbox that it made and that does not come to life: another one may.
_STILLBORN = "sandbox_not_started"
#: What it says when the machine failed to make one: perhaps only now, perhaps always.
_UNMADE = "sandbox_not_made"
#: How often an attempt's sandbox may fail to be made.
_MAKING_TRIES = 8
#: How often a living sandbox may fail to hand out what its agent left, whose folders may be made to be too much for it.
_KEEPING_TRIES = 5


@dataclass(slots=True, kw_only=True)
class _Job:
    """What is known of a run only while this process executes it."""

    run_id: RunId
    lease: Lease
    #: Set when somebody wants the end.
    cancelled: asyncio.Event
    #: The attempt whose sandbox this process made and in which it has certainly not started the command.
    untouched: str = ""
    #: Sees to a cancel and to the time limit, once: it goes on while following fails and begins anew.
    enforcer: Enforcer | None = None
    #: How its attempt waits for people: there as long as its door is open.
    waiting: Waiting | None = None
    #: Closes the door.
    open: AsyncExitStack = field(default_factory=AsyncExitStack)
    #: The attempt whose output this process has copied to its end.
    copied: str = ""
    #: How often its sandbox could not be made.
    unmade: int = 0
    #: How often its living sandbox has failed to hand out what its agent left.
    unkept: int = 0


class JobExecutor:
    """The `Executor` of agents of kind `job`."""

    def __init__(
        self,
        records: Records,
        driver: JobDriver,
        logs: LogStore,
        blobs: BlobStore,
        secrets: SecretService,
        limits: RunLimits,
        asking: Asking,
        hub: Hub,
        restarted_ms: int = 0,
    ) -> None:
        self._records = records
        self._asking = asking
        self._hub = hub
        self._driver = driver
        self._logs = logs
        self._blobs = blobs
        self._secrets = secrets
        self._limits = limits
        #: When this server's life began, if the machine was restarted before it; else 0.
        self._restarted_ms = restarted_ms
        self._live: dict[RunId, asyncio.Event] = {}

    async def execute(self, run: Run, lease: Lease) -> None:
        """Bring *run* to its end, or to its next attempt, from wherever the last one stopped."""
        async with self._watched(run, lease) as job:
            pause_s = self._limits.retry_s
            over = False
            while not over:
                try:
                    over = await self._step(job)
                    pause_s = self._limits.retry_s
                except (UnavailableError, LimitError) as error:
                    log.warning("a run has to wait", extra={"run": run.id, "why": str(error), "code": error.code})
                    await asyncio.sleep(pause_s)
                    pause_s = min(_MAX_PAUSE_S, pause_s * 2)

    async def cancel(self, run: Run) -> None:
        """Wake whoever executes *run*; that its end is wanted stands in its row."""
        if (event := self._live.get(run.id)) is not None:
            event.set()

    def abandon(self, tx: Tx, run: Run) -> None:
        """End the attempt of a run that was given up; reconciliation destroys its sandbox."""
        self._records.abandon(tx, run)

    async def abandoned(self, run: Run) -> None:
        """Close the logs of attempts that are over: the one that was abandoned is still open."""
        for attempt in await self._records.attempts(run.id):
            if attempt.phase is AttemptPhase.ENDED:
                await self._logs.close(attempt.log_id)

    # ---- one step per phase; True when the run, or this attempt at it, is over

    async def _step(self, job: _Job) -> bool:
        state = await self._records.load(job.run_id)
        attempt = state.attempt
        if attempt is None:
            return not await self._records.begin(job.run_id, job.lease)
        if state.run.cancel_requested:
            job.cancelled.set()
        if attempt.phase is AttemptPhase.INTENDED:
            return await self._create(job, state, attempt)
        if state.sandbox is None or state.sandbox.handle is None:
            return await self._lose(job, state, attempt, "its sandbox was removed")
        act = {
            AttemptPhase.CREATED: self._start,
            AttemptPhase.STARTED: self._follow,
            AttemptPhase.EXITED: self._keep,
        }[attempt.phase]
        handle = state.sandbox.handle
        try:
            return await act(job, state, attempt, handle)
        except NotFoundError as error:
            return await self._lose(job, state, attempt, error.message, handle)

    async def _create(self, job: _Job, state: State, attempt: Attempt) -> bool:
        if job.cancelled.is_set():
            return await self._end(job, attempt, _nothing("cancelled"), CANCELLED, None)
        if state.image.base_fingerprint != await self._driver.base_fingerprint():
            return await self._refuse(job, attempt, _base_changed(state.run), None)
        spec = plan.sandbox_spec(state.run, attempt, state.version.config, state.image, self._limits)
        try:
            handle = await self._driver.create(spec)
        except (NotFoundError, *_HOPELESS) as error:
            return await self._refuse(job, attempt, error, None)
        except UnavailableError as error:
            job.unmade += error.code == _UNMADE
            if error.code != _STILLBORN and job.unmade < _MAKING_TRIES:
                raise
            made = {handle.id: handle for handle in await self._driver.recover()}
            return await self._lose(job, state, attempt, error.message, made.get(attempt.sandbox_id))
        await self._records.created(attempt, job.lease, handle)
        job.untouched = attempt.id
        return False

    async def _start(self, job: _Job, state: State, attempt: Attempt, handle: Handle) -> bool:
        if job.cancelled.is_set():
            return await self._end(job, attempt, _nothing("cancelled"), CANCELLED, handle)
        config = state.version.config
        names = {*config.secrets, *config.env_from_secret.values()}
        try:
            values = await self._secrets.reveal(state.run.project_id, sorted(names))
        except NotFoundError as error:
            return await self._refuse(job, attempt, error, handle)
        secret_env = {name: values[secret].reveal() for name, secret in config.env_from_secret.items()}
        command = plan.command(state.run, attempt, config, state.image, self._limits, secret_env)
        try:
            await self._driver.put(handle, plan.INPUTS, plan.inputs_file(state.run), mode=0o600)
            for name in config.secrets:
                await self._driver.put(handle, f"{plan.SECRETS}/{name}", values[name].reveal().encode(), mode=0o400)
            job.untouched = ""
            await self._open(job, state, attempt, handle)
            await self._driver.exec(handle, command)
        except _HOPELESS as error:
            return await self._refuse(job, attempt, error, handle)
        await self._records.started(state, attempt, job.lease)
        return False

    async def _follow(self, job: _Job, state: State, attempt: Attempt, handle: Handle) -> bool:
        enforcer = job.enforcer = job.enforcer or self._enforcer(job, state, attempt, handle)
        if job.waiting is None and (waiting := await self._open(job, state, attempt, handle)) is not None:
            waiting.begin()  # another life of the server may have left its time held, or not yet held
        if job.waiting is not None:
            job.waiting.enforced_by(enforcer)
        try:
            cut = await self._copy(attempt, handle)
            job.copied = attempt.id
            end = await self._driver.wait(handle, CommandId(attempt.id))
        except NotFoundError as error:
            if not enforcer.overdue and not job.cancelled.is_set():
                raise
            cut, end = False, lost_exit(error.message, maybe_started=True)
        await enforcer.stop()
        await job.open.aclose()
        if enforcer.overdue and end.reason in (ExitReason.LOST, ExitReason.SIGNALED):
            end = replace(end, reason=ExitReason.TIMED_OUT)
        if end.reason is ExitReason.LOST and not job.cancelled.is_set():
            return await self._lose(job, state, attempt, end.message, handle)
        await self._records.exited(attempt, job.lease, replace(end, truncated=end.truncated or cut))
        return False

    async def _keep(self, job: _Job, state: State, attempt: Attempt, handle: Handle) -> bool:
        end = attempt.exit
        assert end is not None, "an attempt that has exited says how"
        inspection = await self._driver.inspect(handle)
        limits = plan.sandbox_limits(state.version.config, self._limits)
        meant = outcome(
            end,
            cancel_requested=state.run.cancel_requested,
            seen=inspection,
            limits=limits,
            timeout_s=time_limit_s(state.run, state.version.config, self._limits.timeout_s),
        )
        try:
            if job.copied != attempt.id and await self._copy(attempt, handle):
                end = replace(end, truncated=True)
            await self._logs.close(attempt.log_id)
            kept = await keep(self._driver, self._blobs, handle, attempt, self._limits)
        except (NotFoundError, UnavailableError) as error:
            # A dead sandbox answers no more; what it left is lost. With a living one we try again, but not for ever.
            if error.code in ("disk_full", "storage_failed"):
                raise
            if inspection.alive and (isinstance(error, NotFoundError) or job.unkept < _KEEPING_TRIES):
                job.unkept += 1
                raise
            kept = _unkept(error)
        if kept.failure is not None and meant.happening is Happening.SUCCEEDED:
            meant = Outcome(happening=Happening.FAILED, failure=kept.failure)
        lasted_s = (self._records.now_ms() - (attempt.started_ms or attempt.created_ms)) / 1000
        usage = Usage(
            duration_s=min(max(0.0, end.duration_s), lasted_s),  # the supervisor's word, within our own measure
            cpu_seconds=inspection.cpu_seconds,
            memory_peak_bytes=inspection.memory_peak_bytes,
        )
        return await self._end(job, attempt, end, meant, handle, kept, usage)

    # ---- ends

    async def _refuse(self, job: _Job, attempt: Attempt, error: SkepError, handle: Handle | None) -> bool:
        """End a run that can never start, in the words of whoever said so."""
        failure = Failure(code=error.code, message=clean(error.message) + ".", hint=error.hint or "")
        meant = Outcome(happening=Happening.FAILED, failure=failure)
        return await self._end(job, attempt, _nothing(error.message), meant, handle)

    async def _end(
        self,
        job: _Job,
        attempt: Attempt,
        end: Exit,
        meant: Outcome,
        handle: Handle | None,
        kept: Kept | None = None,
        usage: Usage | None = None,
    ) -> bool:
        await self._logs.close(attempt.log_id)
        await self._records.ended(attempt, job.lease, end, meant, kept or Kept(), usage or Usage())
        await self._destroy(attempt, handle)
        return True

    async def _lose(self, job: _Job, state: State, attempt: Attempt, why: str, handle: Handle | None = None) -> bool:
        maybe_started = attempt.phase is not AttemptPhase.INTENDED and job.untouched != attempt.id
        if attempt.created_ms < self._restarted_ms:
            why = "the machine was restarted"
        await self._logs.close(attempt.log_id)
        end = lost_exit(why, maybe_started=maybe_started)
        await self._records.lost(
            state, attempt, job.lease, end, maybe_started=maybe_started, retry_s=self._limits.retry_s
        )
        await self._destroy(attempt, handle)
        return True

    async def _destroy(self, attempt: Attempt, handle: Handle | None) -> None:
        """Remove the sandbox; its row says that it must go, so what fails here is done by reconciliation."""
        if handle is None:
            return
        try:
            await self._driver.destroy(handle)
            await self._records.forget(attempt.sandbox_id)
        except SkepError as error:
            log.warning("a sandbox is destroyed later", extra={"sandbox": attempt.sandbox_id, "why": str(error)})

    # ---- parts

    async def _open(self, job: _Job, state: State, attempt: Attempt, handle: Handle) -> Waiting | None:
        """Open the door through which the agent asks, once; None if its sandbox, an older Skep's, has none."""
        if job.waiting is not None:
            return job.waiting
        try:
            listener = await self._driver.listen(handle, door.PORT)
        except InvalidError as error:
            log.warning("a sandbox has no door", extra={"sandbox": handle.id, "why": str(error)})
            return None
        except ConflictError as error:
            # What listened there before is on its way out.
            raise UnavailableError(error.message, code=error.code) from error

        def left_s(now: Attempt) -> float | None:
            return self._overdue_in_s(state, now)

        waiting = Waiting(
            self._asking, self._driver, self._hub, handle, attempt, job.lease, self._limits, left_s=left_s
        )
        job.open.push_async_callback(waiting.stop)
        await job.open.enter_async_context(door.Door(AskDesk(waiting, self._asking.reading)).serving(listener))
        job.waiting = waiting
        return waiting

    def _enforcer(self, job: _Job, state: State, attempt: Attempt, handle: Handle) -> Enforcer:
        started = Enforcer(self._driver, handle, attempt, self._limits, job.cancelled)
        started.start(self._overdue_in_s(state, attempt))
        return started

    def _overdue_in_s(self, state: State, attempt: Attempt) -> float | None:
        limits = self._limits
        timeout_s = time_limit_s(state.run, state.version.config, limits.timeout_s)
        slack_s = limits.slack_s + limits.grace_s
        return overdue_in_s(attempt, timeout_s=timeout_s, slack_s=slack_s, now_ms=self._records.now_ms())

    async def _copy(self, attempt: Attempt, handle: Handle) -> bool:
        """Copy output into the log from where it stopped; return whether the server's own limit was passed."""
        position = await self._logs.position(attempt.log_id)
        if position.closed:
            return False
        chunks = self._driver.output(handle, CommandId(attempt.id), position.source_offset)
        limit = self._limits.output_bytes + SLACK
        async with aclosing(merged(chunks)) as joined:
            return await copy_output(joined, self._logs, attempt.log_id, limit=limit)

    @asynccontextmanager
    async def _watched(self, run: Run, lease: Lease) -> AsyncGenerator[_Job]:
        event = self._live[run.id] = asyncio.Event()
        job = _Job(run_id=run.id, lease=lease, cancelled=event)
        try:
            yield job
        finally:
            if self._live.get(run.id) is event:
                del self._live[run.id]
            await job.open.aclose()
            if job.enforcer is not None:
                await job.enforcer.stop()


def _nothing(why: str) -> Exit:
    """Return the end of a command that was never begun."""
    return lost_exit(why, maybe_started=False)


def _unkept(error: SkepError) -> Kept:
    failure = Failure(
        code="output_lost",
        message=f"The agent ended, but not all that it left could be kept: {clean(error.message)}.",
        hint="The log may lack its last lines; result and artifacts are gone.",
    )
    return Kept(failure=failure)


def _base_changed(run: Run) -> ConflictError:
    return ConflictError(
        "the machine's Python or C library is another one since the agent was built",
        code="base_changed",
        hint=f"Skep builds such agents again by itself; if that failed: skep build {run.agent_name}",
    )
