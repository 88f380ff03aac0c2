"""Does the work "build": durable, taken up again after a crash, ended within moments when somebody cancels."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from skep.kernel.clock import Clock
from skep.kernel.database import Database, Tx
from skep.kernel.errors import NotFoundError, SkepError, UnavailableError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.blobs.ports import BlobStore, LogStore
from skep.product.gateway.ports import Mirrors, Resolver
from skep.product.images import failures, machine
from skep.product.images.attempt import Attempt, Source, told
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.layering import Layering, Means
from skep.product.images.layers.clearing import Hold, Shelf
from skep.product.images.layers.ledger import Ledger
from skep.product.images.model import Build, BuildId, Failure
from skep.product.images.options import BuildOptions
from skep.product.images.outcome import Made, Planned
from skep.product.images.planning.base import NoRuntimes, Runtimes
from skep.product.images.ports import BuildListener, Framework
from skep.product.images.records import BuildRecords, Stores
from skep.product.images.removal import Removal
from skep.product.images.stages import Stages, Tools
from skep.product.images.workshop import AttemptLostError, BuildDriver, BuildLog
from skep.product.work.model import Lease, WorkItem

KIND = "build"
T = TypeVar("T")


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
        keyring: Keyring,
        mirrors: Mirrors,
        runtimes: Runtimes | None = None,
    ) -> None:
        self._records = BuildRecords(
            db=db, stores=stores, logs=logs, listeners=listeners, clock=clock, ids=ids, hub=hub, node_id=node_id
        )
        self._removal = Removal(self._records, driver)
        self._tools = Tools(driver=driver, resolver=resolver, ids=ids, clock=clock, limits=options.limits)
        self._means = Means(
            driver=driver,
            ledger=Ledger(db, stores.images, clock, node_id=node_id),
            mirrors=mirrors,
            options=options,
            clock=clock,
        )
        self._logs = logs
        self._blobs = blobs
        self._frameworks = frameworks
        self._runtimes = runtimes or NoRuntimes()
        self._clock = clock
        self._options = options
        self._shelf = shelf
        self._keyring = keyring
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
        await self._removal.all_of(build.id)
        if build.cancel_requested:
            await self._records.cancel(build.id, lease)
        elif build.attempt >= self._options.max_attempts:
            await self._records.fail(build.id, lease, failures.interrupted(build.attempt))
        else:
            build = await self._records.begin(build, lease)
            with self._shelf.holding() as hold:
                await self._try(build, lease, cancelled, hold)
            await self._removal.all_of(build.id)

    async def _try(self, build: Build, lease: Lease, cancelled: asyncio.Event, hold: Hold) -> None:
        """Make one attempt, and record what became of it."""
        log = BuildLog(self._logs, build.log_id, self._clock, self._options.hidden)
        await log.say(f"Build {build.id}, attempt {build.attempt}.")
        try:
            made = await _unless(cancelled, self._timed(build, lease, log, hold))
        except BuildFailedError as error:
            # The first line of a hint is what to do, which is shown apart; a list below it has its place here.
            listed = error.failure.hint.partition("\n")[2]
            await log.say("\n".join(filter(None, (f"Failed ({error.failure.code}): {error.failure.message}", listed))))
            await self._records.fail(build.id, lease, error.failure)
        except (AttemptLostError, NotFoundError, UnavailableError) as error:
            why = error.message if isinstance(error, SkepError) else str(error)
            await log.say(f"The attempt was lost: {why}.")
            # Before the work is given back: whoever takes it up finds nothing.
            await self._removal.all_of(build.id)
            if build.attempt >= self._options.max_attempts:
                await self._records.fail(build.id, lease, failures.interrupted(build.attempt, why))
            else:
                await self._records.retry(build, lease, why)
        else:
            if made is None:
                # Its processes end before the row says so.
                await self._removal.end_processes(build.id)
                await log.say("Cancelled.")
                await self._records.cancel(build.id, lease)
            elif isinstance(made, Planned):
                await log.say("Explained; nothing was built.")
                await self._records.explained(build, lease, made)
            else:
                await log.say("Done.")
                await self._records.succeed(build, lease, made)

    async def _timed(self, build: Build, lease: Lease, log: BuildLog, hold: Hold) -> Made | Planned:
        limit = asyncio.timeout(self._options.timeout_s)
        try:
            async with limit:
                return await self._attempt(build, lease, log, hold)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise BuildFailedError(failures.timed_out(self._options.timeout_s)) from error

    async def _attempt(self, build: Build, lease: Lease, log: BuildLog, hold: Hold) -> Made | Planned:
        async def step(name: str) -> None:
            await self._records.step(build.id, lease, name)

        with told():
            # What the operator allowed when the build began may be refused by now.
            credential = await self._keyring.credential(build.project_id, build.source)
        source = Source(
            blobs=self._blobs,
            blob_id=await self._records.blob_of(build),
            keyring=self._keyring,
            credential=credential,
        )
        stages = Stages(self._tools, self._records, self._removal, build, lease, log)
        attempt = Attempt(
            means=self._means,
            stages=stages,
            layering=Layering(self._means, stages, log, step, hold, build.project_id),
            frameworks=self._frameworks,
            runtimes=self._runtimes,
            step=step,
            log=log,
            build=build,
            source=source,
        )
        planned, plan = await attempt.plan()
        await self._records.planned(build.id, lease, planned)
        return planned if build.explain else await attempt.make(planned, plan)


async def _unless(cancelled: asyncio.Event, attempt: Coroutine[Any, Any, T]) -> T | None:
    """Return what *attempt* made, or None as soon as *cancelled* is set; nothing of it goes on after that."""
    making, waiting = asyncio.ensure_future(attempt), asyncio.ensure_future(cancelled.wait())
    try:
        await asyncio.wait({making, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return making.result() if making.done() else None
    finally:
        for task in (making, waiting):
            task.cancel()
        await asyncio.gather(making, waiting, return_exceptions=True)
