"""Does the work "build": durable, taken up again after a crash, ended within moments when somebody cancels."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from skep.kernel.clock import Clock
from skep.kernel.database import Database, Tx
from skep.kernel.errors import NotFoundError, SkepError, UnavailableError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.blobs.ports import BlobStore, LogStore
from skep.product.gateway.ports import Resolver
from skep.product.images import failures, machine
from skep.product.images.attempt import Attempt, Made
from skep.product.images.environment import DOOR_PORT
from skep.product.images.failures import BuildFailedError
from skep.product.images.layers import Hold, Shelf
from skep.product.images.model import Build, BuildId, Failure
from skep.product.images.options import BuildOptions
from skep.product.images.ports import BuildListener, Framework
from skep.product.images.records import BuildRecords, Stores
from skep.product.images.workshop import AttemptLostError, BuildDriver, BuildLog, Workshop
from skep.product.sandboxes.model import Handle, Isolation, SandboxId, SandboxSpec
from skep.product.work.model import Lease, WorkItem

KIND = "build"
_DESTROY_TRIES = 5
_DESTROY_PAUSE_S = 0.2


class Builder:
    """The handler of the work "build" (`work.ports.Handler`)."""

    def __init__(
        self,
        *,
        db: Database,
        stores: Stores,
        driver: BuildDriver,
        logs: LogStore,
        blobs: BlobStore,
        frameworks: Sequence[Framework],
        listeners: Sequence[BuildListener],
        resolver: Resolver,
        clock: Clock,
        ids: IdSource,
        hub: Hub,
        node_id: str,
        options: BuildOptions,
        shelf: Shelf,
    ) -> None:
        self._records = BuildRecords(
            db=db, stores=stores, logs=logs, listeners=listeners, clock=clock, ids=ids, hub=hub, node_id=node_id
        )
        self._driver = driver
        self._logs = logs
        self._blobs = blobs
        self._frameworks = frameworks
        self._resolver = resolver
        self._clock = clock
        self._ids = ids
        self._options = options
        self._shelf = shelf
        #: Of each build that goes on in this process: set when somebody cancels it.
        self._cancelled: dict[BuildId, asyncio.Event] = {}

    async def run(self, item: WorkItem, lease: Lease) -> None:
        """Bring the build to its end; what an earlier attempt left is removed first."""
        build_id = BuildId(item.ref)
        cancelled = self._cancelled[build_id] = asyncio.Event()
        try:
            build = await self._records.find(build_id)
            if build is None or machine.is_over(build):
                await self._records.finish_work(lease)
            else:
                await self._run(build, lease, cancelled)
        finally:
            if self._cancelled.get(build_id) is cancelled:
                del self._cancelled[build_id]

    async def cancel(self, item: WorkItem) -> None:
        """Make the build end soon."""
        if (cancelled := self._cancelled.get(BuildId(item.ref))) is not None:
            cancelled.set()

    def given_up(self, tx: Tx, item: WorkItem, error: str) -> None:
        """Record that nobody will work on the build any more (`work.ports.GivesUp`)."""
        failure = Failure(code="build_lost", message=f"The build was given up: {error}", hint="Build again.")
        self._records.give_up(tx, BuildId(item.ref), failure)

    async def gave_up(self, item: WorkItem) -> None:
        """Send away those who follow the log of the build that was given up."""
        build = await self._records.find(BuildId(item.ref))
        if build is not None and machine.is_over(build):
            await self._logs.close(build.log_id)

    async def _run(self, build: Build, lease: Lease, cancelled: asyncio.Event) -> None:
        await self._remove_sandbox(build.sandbox_id)
        if build.cancel_requested:
            await self._records.cancel(build.id, lease)
        elif build.attempt >= self._options.max_attempts:
            await self._records.fail(build.id, lease, failures.interrupted(build.attempt))
        else:
            build = await self._records.begin(build, lease)
            with self._shelf.holding() as hold:
                await self._try(build, lease, cancelled, hold)
            await self._remove_sandbox(build.sandbox_id)

    async def _try(self, build: Build, lease: Lease, cancelled: asyncio.Event, hold: Hold) -> None:
        """Make one attempt, and record what became of it."""
        log = BuildLog(self._logs, build.log_id, self._clock, self._options.hidden)
        await log.say(f"Build {build.id}, attempt {build.attempt}.")
        try:
            made = await _unless(cancelled, self._timed(build, lease, log, hold))
        except BuildFailedError as error:
            await log.say(f"Failed ({error.failure.code}): {error.failure.message}")
            await self._records.fail(build.id, lease, error.failure)
        except (AttemptLostError, NotFoundError, UnavailableError) as error:
            why = error.message if isinstance(error, SkepError) else str(error)
            await log.say(f"The attempt was lost: {why}.")
            # Before the work is given back: whoever takes it up finds nothing.
            await self._remove_sandbox(build.sandbox_id)
            if build.attempt >= self._options.max_attempts:
                await self._records.fail(build.id, lease, failures.interrupted(build.attempt, why))
            else:
                await self._records.retry(build, lease, why)
        else:
            if made is None:
                # Its processes end before the row says so.
                await self._destroy(build.sandbox_id)
                await log.say("Cancelled.")
                await self._records.cancel(build.id, lease)
            else:
                await log.say("Done.")
                await self._records.succeed(build, lease, made)

    async def _timed(self, build: Build, lease: Lease, log: BuildLog, hold: Hold) -> Made:
        limit = asyncio.timeout(self._options.timeout_s)
        try:
            async with limit:
                return await self._attempt(build, lease, log, hold)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise BuildFailedError(failures.timed_out(self._options.timeout_s)) from error

    async def _attempt(self, build: Build, lease: Lease, log: BuildLog, hold: Hold) -> Made:
        assert build.sandbox_id is not None, "an attempt has a sandbox"
        spec = SandboxSpec(
            id=build.sandbox_id,
            project_id=build.project_id,
            isolation=Isolation.CONTAINER,
            limits=self._options.limits,
            doors=(DOOR_PORT,),
        )
        handle = await self._driver.create(spec)
        await self._records.sandbox_ready(spec.id, handle)

        async def step(name: str) -> None:
            await self._records.step(build.id, lease, name)

        workshop = Workshop(self._driver, handle, log, self._ids, self._clock)
        attempt = Attempt(
            workshop=workshop,
            blobs=self._blobs,
            frameworks=self._frameworks,
            options=self._options,
            clock=self._clock,
            step=step,
            hold=hold,
        )
        async with workshop.door(self._resolver):
            return await attempt.make(build, await self._records.blob_of(build))

    # ---- the sandbox

    async def _remove_sandbox(self, sandbox_id: SandboxId | None) -> None:
        """Destroy the sandbox if it exists, and then its row; what cannot be done now is left to reconciliation."""
        if sandbox_id is not None:
            await self._records.forget_sandbox(sandbox_id, gone=await self._destroy(sandbox_id))

    async def _destroy(self, sandbox_id: SandboxId | None) -> bool:
        if sandbox_id is None:
            return True
        for _ in range(_DESTROY_TRIES):
            with suppress(UnavailableError):
                if (handle := await self._handle(sandbox_id)) is not None:
                    with suppress(NotFoundError):
                        await self._driver.destroy(handle)
                return True
            await asyncio.sleep(_DESTROY_PAUSE_S)
        return False

    async def _handle(self, sandbox_id: SandboxId) -> Handle | None:
        if (recorded := await self._records.handle_of(sandbox_id)) is not None:
            return recorded
        # It died between the intent and the effect's record: only the driver knows whether there is one.
        return next((handle for handle in await self._driver.recover() if handle.id == sandbox_id), None)


async def _unless(cancelled: asyncio.Event, attempt: Coroutine[Any, Any, Made]) -> Made | None:
    """Return what *attempt* made, or None as soon as *cancelled* is set; nothing of it goes on after that."""
    making, waiting = asyncio.ensure_future(attempt), asyncio.ensure_future(cancelled.wait())
    try:
        await asyncio.wait({making, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return making.result() if making.done() else None
    finally:
        for task in (making, waiting):
            task.cancel()
        await asyncio.gather(making, waiting, return_exceptions=True)
