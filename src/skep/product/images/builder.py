"""Does the work "build": durable, taken up again after a crash, ended within moments when somebody cancels."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.errors import NotFoundError, UnavailableError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.blobs.model import BlobId, LogId
from skep.product.blobs.ports import BlobStore, LogStore
from skep.product.gateway.ports import Resolver
from skep.product.images import failures, machine
from skep.product.images.attempt import Attempt, Made
from skep.product.images.failures import BuildFailedError
from skep.product.images.model import Build, BuildId, Failure, Image, ImageId, UploadSource
from skep.product.images.options import BuildOptions
from skep.product.images.ports import BuildListener, Framework, ImageStore
from skep.product.images.workshop import AttemptLostError, BuildDriver, BuildLog, Workshop
from skep.product.sandboxes.model import Handle, Isolation, Phase, Sandbox, SandboxId, SandboxSpec
from skep.product.sandboxes.ports import SandboxStore
from skep.product.work.model import Lease, WorkItem
from skep.product.work.ports import WorkStore

KIND = "build"
_RETRY_MS = 1_000
_DESTROY_TRIES = 5


@dataclass(slots=True)
class _Going:
    """A build that goes on in this process."""

    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


class Stores(Protocol):
    """The rows that a build touches."""

    @property
    def images(self) -> ImageStore:
        """Builds, images, uploads."""
        ...

    @property
    def sandboxes(self) -> SandboxStore:
        """Sandboxes."""
        ...

    @property
    def work(self) -> WorkStore:
        """The work that a build is."""
        ...


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
    ) -> None:
        self._db = db
        self._stores = stores
        self._driver = driver
        self._logs = logs
        self._blobs = blobs
        self._frameworks = frameworks
        self._listeners = listeners
        self._resolver = resolver
        self._clock = clock
        self._ids = ids
        self._hub = hub
        self._node_id = node_id
        self._options = options
        self._going: dict[BuildId, _Going] = {}

    async def run(self, item: WorkItem, lease: Lease) -> None:
        """Bring the build to its end; what an earlier attempt left is removed first."""
        build_id = BuildId(item.ref)
        going = self._going[build_id] = _Going()
        try:
            build = await self._db.read(lambda tx: self._stores.images.build(tx, build_id))
            if build is None or machine.is_over(build):
                await self._db.write(lambda tx: self._finish_work(tx, lease))
                return
            await self._run(build, lease, going)
        finally:
            del self._going[build_id]

    async def cancel(self, item: WorkItem) -> None:
        """Make the build end soon."""
        if (going := self._going.get(BuildId(item.ref))) is not None:
            going.cancelled.set()

    def given_up(self, tx: Tx, item: WorkItem, error: str) -> None:
        """Record that nobody will work on the build any more (`work.ports.GivesUp`)."""
        build = self._stores.images.build(tx, BuildId(item.ref))
        if build is not None and not machine.is_over(build):
            failure = Failure(code="build_lost", message=f"The build was given up: {error}", hint="Build again.")
            self._record_end(tx, machine.fail(build, failure, now_ms=to_ms(self._clock.now())), None)

    async def _run(self, build: Build, lease: Lease, going: _Going) -> None:
        await self._remove_sandbox(build.sandbox_id)
        if build.cancel_requested:
            await self._end(build.id, lease, lambda current, now: machine.cancel(current, now_ms=now))
            return
        if build.attempt >= self._options.max_attempts:
            failure = Failure(
                code="build_lost",
                message=f"The build was interrupted {build.attempt} times.",
                hint="Build again; if it happens again, look at the server's log.",
            )
            await self._end(build.id, lease, lambda current, now: machine.fail(current, failure, now_ms=now))
            return
        build = await self._begin(build, lease)
        log = BuildLog(self._logs, build.log_id, self._clock, self._options.hidden)
        await log.say(f"Build {build.id}, attempt {build.attempt}.")
        try:
            made = await self._race(self._attempt(build, lease, log), going)
        except BuildFailedError as error:
            failure = error.failure
            await log.say(f"Failed ({failure.code}): {failure.message}")
            await self._end(build.id, lease, lambda current, now: machine.fail(current, failure, now_ms=now))
        except (AttemptLostError, NotFoundError, UnavailableError) as error:
            await log.say(f"The attempt was lost: {error}.")
            await self._remove_sandbox(build.sandbox_id)
            await self._retry(build, lease, str(error))
            return
        else:
            if made is None:
                # Its processes end before the row says so.
                await self._destroy(build.sandbox_id)
                await log.say("Cancelled.")
                await self._end(build.id, lease, lambda current, now: machine.cancel(current, now_ms=now))
            else:
                await log.say("Done.")
                await self._succeed(build, lease, made)
        await self._remove_sandbox(build.sandbox_id)

    async def _race(self, attempt: Any, going: _Going) -> Made | None:
        """Return what *attempt* made, or None as soon as somebody cancels."""
        making: asyncio.Task[Made] = asyncio.ensure_future(attempt)
        cancelled = asyncio.ensure_future(going.cancelled.wait())
        try:
            await asyncio.wait({making, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            return making.result() if making.done() else None
        finally:
            for task in (making, cancelled):
                task.cancel()
            await asyncio.gather(making, cancelled, return_exceptions=True)

    async def _attempt(self, build: Build, lease: Lease, log: BuildLog) -> Made:
        limit = asyncio.timeout(self._options.timeout_s)
        try:
            async with limit:
                return await self._attempt_untimed(build, lease, log)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise BuildFailedError(failures.timed_out(self._options.timeout_s)) from error

    async def _attempt_untimed(self, build: Build, lease: Lease, log: BuildLog) -> Made:
        assert build.sandbox_id is not None, "an attempt has a sandbox"
        spec = SandboxSpec(
            id=build.sandbox_id,
            project_id=build.project_id,
            isolation=Isolation.CONTAINER,
            limits=self._options.limits,
            doors=(80,),
        )
        handle = await self._driver.create(spec)
        await self._db.write(lambda tx: self._stores.sandboxes.set_phase(tx, spec.id, Phase.READY, handle))

        async def step(name: str) -> None:
            await self._change(build.id, lease, step=name)

        workshop = Workshop(self._driver, handle, log, self._ids, self._clock)
        attempt = Attempt(
            workshop=workshop,
            blobs=self._blobs,
            frameworks=self._frameworks,
            options=self._options,
            clock=self._clock,
            step=step,
        )
        async with workshop.door(self._resolver):
            return await attempt.make(build, await self._blob_of(build))

    async def _blob_of(self, build: Build) -> BlobId | None:
        source = build.source
        if not isinstance(source, UploadSource):
            return None
        upload = await self._db.read(lambda tx: self._stores.images.upload(tx, source.upload_id))
        if upload is None or upload.project_id != build.project_id:
            raise BuildFailedError(
                Failure(code="upload_not_found", message="The upload is gone.", hint="Upload the folder again.")
            )
        return upload.blob_id

    # ---- rows

    async def _begin(self, build: Build, lease: Lease) -> Build:
        """Commit the intent of the next attempt: its number, and the sandbox that it will make."""
        now_ms = to_ms(self._clock.now())
        sandbox_id = SandboxId(self._ids.new("sbx", now_ms))
        log_id = build.log_id
        if (await self._logs.position(log_id)).closed:
            # The attempt before had closed its log and died before it could record its end.
            log_id = LogId(self._ids.new("log", now_ms))

        def begin(tx: Tx) -> Build:
            self._stores.work.check(tx, lease)
            intended = machine.begin_attempt(
                self._load(tx, build.id), now_ms=now_ms, node_id=self._node_id, sandbox_id=sandbox_id, log_id=log_id
            )
            self._stores.images.save_build(tx, intended)
            self._stores.sandboxes.insert(
                tx,
                Sandbox(
                    id=sandbox_id,
                    project_id=build.project_id,
                    node_id=self._node_id,
                    owner=build.id,
                    phase=Phase.INTENDED,
                    handle=None,
                    created_ms=now_ms,
                ),
            )
            self._notify(tx, build.id)
            return intended

        return await self._db.write(begin)

    async def _change(self, build_id: BuildId, lease: Lease, **changes: Any) -> None:
        def change(tx: Tx) -> None:
            self._stores.work.check(tx, lease)
            self._stores.images.save_build(tx, replace(self._load(tx, build_id), **changes))
            self._notify(tx, build_id)

        await self._db.write(change)

    async def _succeed(self, build: Build, lease: Lease, made: Made) -> None:
        now_ms = to_ms(self._clock.now())
        image = Image(
            id=ImageId(self._ids.new("img", now_ms)),
            project_id=build.project_id,
            node_id=self._node_id,
            layers=made.layers,
            base_fingerprint=made.base_fingerprint,
            recognised=made.recognised,
            source_digest=made.source_digest,
            commit=made.commit,
            size=made.size,
            created_ms=now_ms,
        )
        await self._end(build.id, lease, lambda current, now: machine.succeed(current, image, now_ms=now), image)

    async def _end(
        self, build_id: BuildId, lease: Lease, change: Callable[[Build, int], Build], image: Image | None = None
    ) -> None:
        """Record the end, tell the listeners, finish the work: one transaction, after the log is on disk."""
        now_ms = to_ms(self._clock.now())
        build = await self._db.read(lambda tx: self._load(tx, build_id))
        await self._logs.close(build.log_id)

        def end(tx: Tx) -> None:
            self._stores.work.check(tx, lease)
            ended = change(self._load(tx, build_id), now_ms)
            if image is not None:
                self._stores.images.insert_image(tx, image)
            self._record_end(tx, ended, image)
            self._stores.work.finish(tx, lease)

        await self._db.write(end)

    def _record_end(self, tx: Tx, ended: Build, image: Image | None) -> None:
        self._stores.images.save_build(tx, ended)
        if ended.sandbox_id is not None and self._stores.sandboxes.get(tx, ended.sandbox_id) is not None:
            self._stores.sandboxes.set_phase(tx, ended.sandbox_id, Phase.DESTROYING)
        for listener in self._listeners:
            listener.build_ended(tx, ended, image)
        self._notify(tx, ended.id)

    async def _retry(self, build: Build, lease: Lease, error: str) -> None:
        not_before_ms = to_ms(self._clock.now()) + _RETRY_MS * 4 ** (build.attempt - 1)

        def retry(tx: Tx) -> None:
            self._stores.work.check(tx, lease)
            self._stores.work.retry(tx, lease, not_before_ms=not_before_ms, error=error[:500])

        await self._db.write(retry)

    def _finish_work(self, tx: Tx, lease: Lease) -> None:
        self._stores.work.check(tx, lease)
        self._stores.work.finish(tx, lease)

    def _load(self, tx: Tx, build_id: BuildId) -> Build:
        build = self._stores.images.build(tx, build_id)
        if build is None:
            raise NotFoundError(f"There is no build {build_id}.", code="build_not_found")
        return build

    def _notify(self, tx: Tx, build_id: BuildId) -> None:
        self._db.after_commit(tx, lambda: self._hub.notify(f"build:{build_id}"))

    # ---- the sandbox

    async def _remove_sandbox(self, sandbox_id: SandboxId | None) -> None:
        """Destroy the sandbox if it exists, and then its row; what cannot be done now is left to reconciliation."""
        if sandbox_id is None:
            return
        gone = await self._destroy(sandbox_id)

        def forget(tx: Tx) -> None:
            if gone:
                self._stores.sandboxes.delete(tx, [sandbox_id])
            elif self._stores.sandboxes.get(tx, sandbox_id) is not None:
                self._stores.sandboxes.set_phase(tx, sandbox_id, Phase.DESTROYING)

        await self._db.write(forget)

    async def _destroy(self, sandbox_id: SandboxId | None) -> bool:
        if sandbox_id is None:
            return True
        for _ in range(_DESTROY_TRIES):
            with suppress(UnavailableError):
                if (handle := await self._handle(sandbox_id)) is not None:
                    with suppress(NotFoundError):
                        await self._driver.destroy(handle)
                return True
            await asyncio.sleep(0.2)
        return False

    async def _handle(self, sandbox_id: SandboxId) -> Handle | None:
        row = await self._db.read(lambda tx: self._stores.sandboxes.get(tx, sandbox_id))
        if row is not None and row.handle is not None:
            return row.handle
        # It died between the intent and the effect's record: only the driver knows whether there is one.
        return next((handle for handle in await self._driver.recover() if handle.id == sandbox_id), None)
