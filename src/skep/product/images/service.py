"""The verbs of builds and uploads."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Also, Database, Tx
from skep.kernel.errors import LimitError, NotFoundError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.kernel.paging import Page, PageQuery
from skep.kernel.settings import MIB
from skep.product.access.model import Principal, Scope
from skep.product.access.service import require
from skep.product.blobs.model import BlobId, LogFrame, LogId
from skep.product.blobs.ports import BlobStore, LogStore
from skep.product.blobs.space import Space
from skep.product.images import machine
from skep.product.images.builder import KIND
from skep.product.images.fetch import addresses as sources
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.model import (
    Build,
    BuildId,
    BuildStatus,
    Image,
    ImageId,
    Source,
    Upload,
    UploadId,
    UploadSource,
)
from skep.product.images.options import BuildOptions
from skep.product.images.ports import BuildListener, ImageStore, Queue
from skep.product.sandboxes.model import Phase
from skep.product.sandboxes.ports import SandboxStore
from skep.product.work.model import NewWork

#: The concurrency key that all builds share.
BUILDS_KEY = "builds"


class ImageService:
    """Takes uploads, begins builds, shows and cancels them; the work itself is the `Builder`'s."""

    def __init__(
        self,
        *,
        db: Database,
        store: ImageStore,
        sandboxes: SandboxStore,
        queue: Queue,
        blobs: BlobStore,
        logs: LogStore,
        listeners: Sequence[BuildListener],
        clock: Clock,
        ids: IdSource,
        hub: Hub,
        options: BuildOptions,
        keyring: Keyring,
        space: Space | None = None,
    ) -> None:
        self._db = db
        self._store = store
        self._sandboxes = sandboxes
        self._queue = queue
        self._blobs = blobs
        self._logs = logs
        # Kept, not copied: who listens is made after this service, which it needs.
        self._listeners = listeners
        self._clock = clock
        self._ids = ids
        self._hub = hub
        self._options = options
        self._keyring = keyring
        self._space = space or Space()

    async def upload(
        self, principal: Principal, data: AsyncIterator[bytes], also: Also[Upload] | None = None
    ) -> Upload:
        """Keep a packed folder (tar, gzip); it is opened only in the build's sandbox.

        Raises:
            TooLargeError: it is larger than the operator allows.
            UnavailableError: `disk_full`; nothing was accepted.
        """
        require(principal, Scope.OPERATE)
        self._space.require("no new uploads are taken")
        now_ms = to_ms(self._clock.now())
        blob_id = BlobId(self._ids.new("blb", now_ms))
        blob = await self._blobs.put(blob_id, data, limit=self._options.upload_limit_mb * MIB)
        upload = Upload(
            id=UploadId(self._ids.new("upl", now_ms)),
            project_id=principal.project_id,
            blob_id=blob.id,
            size=blob.size,
            sha256=blob.sha256,
            created_ms=now_ms,
        )

        def insert(tx: Tx) -> None:
            self._store.insert_upload(tx, upload)
            if also is not None:
                also(tx, upload)

        await self._db.write(insert)
        return upload

    def check(self, source: Source) -> None:
        """Refuse a source that can never be built; `InvalidError` says where it is wrong."""
        sources.check(source, self._options.leave)

    async def explain(
        self, principal: Principal, source: Source, command: tuple[str, ...] = (), also: Also[Build] | None = None
    ) -> Build:
        """Begin a build that ends once it is known what would be built; it makes no image and belongs to no agent.

        Raises:
            InvalidError: the source can never be built.
            NotFoundError: the upload is not there.
            UnavailableError: `disk_full`; nothing was accepted.
        """
        require(principal, Scope.OPERATE)

        def begin(tx: Tx) -> Build:
            build = self.begin(
                tx, project_id=principal.project_id, agent_id="", source=source, command=command, explain=True
            )
            if also is not None:
                also(tx, build)
            return build

        return await self._db.write(begin)

    def begin(
        self,
        tx: Tx,
        *,
        project_id: str,
        agent_id: str,
        source: Source,
        command: tuple[str, ...],
        explain: bool = False,
        upgrade: bool = False,
    ) -> Build:
        """Insert a build and enqueue its work, in the caller's transaction.

        Raises:
            InvalidError: the source can never be built.
            NotFoundError: the upload is not there.
            UnavailableError: `disk_full`; nothing was accepted.
            LimitError: `queue_full`.
        """
        self.check(source)
        self._space.require("no new builds are taken")
        if isinstance(source, UploadSource):
            self._require_upload(tx, project_id, source)
        self._keyring.require(tx, project_id, source)
        if self._store.count_unfinished_builds(tx, project_id) >= self._options.max_unfinished:
            raise LimitError(
                f"{self._options.max_unfinished} builds of this project are not finished yet.",
                code="queue_full",
                hint="Wait until some have ended, or cancel some.",
                retry_after_s=5,
            )
        now_ms = to_ms(self._clock.now())
        build = Build(
            id=BuildId(self._ids.new("bld", now_ms)),
            project_id=project_id,
            agent_id=agent_id,
            source=source,
            command=command,
            explain=explain,
            upgrade=upgrade,
            status=BuildStatus.QUEUED,
            log_id=LogId(self._ids.new("log", now_ms)),
            created_ms=now_ms,
        )
        self._store.insert_build(tx, build)
        keys = (BUILDS_KEY, f"{BUILDS_KEY}:{project_id}")
        work = NewWork(id=self._queue.new_id(), kind=KIND, ref=build.id, project_id=project_id, keys=keys)
        self._queue.enqueue(tx, work)
        return build

    async def build(self, principal: Principal, build_id: BuildId) -> Build:
        """Return a build."""
        require(principal, Scope.READ)
        return await self._db.read(lambda tx: self._find(tx, principal, build_id))

    async def builds(self, principal: Principal, agent_id: str | None, query: PageQuery) -> Page[Build]:
        """List the project's builds, or one agent's, newest first."""
        require(principal, Scope.READ)
        return await self._db.read(lambda tx: self._store.builds(tx, principal.project_id, agent_id, query))

    async def image(self, principal: Principal, image_id: ImageId) -> Image:
        """Return an image."""
        require(principal, Scope.READ)
        image = await self._db.read(lambda tx: self._store.image(tx, image_id))
        if image is None or image.project_id != principal.project_id:
            raise NotFoundError(f"There is no image {image_id}.", code="image_not_found")
        return image

    async def cancel(self, principal: Principal, build_id: BuildId) -> Build:
        """Ask for the build's end; one that only waits is over at once, one that is over stays as it is."""
        require(principal, Scope.OPERATE)

        def cancel(tx: Tx) -> tuple[Build, bool]:
            build = self._find(tx, principal, build_id)
            if machine.is_over(build):
                return build, False
            if self._queue.request_cancel(tx, KIND, build.id):
                build = replace(build, cancel_requested=True)
                self._store.save_build(tx, build)
                return build, False
            build = machine.cancel(build, now_ms=to_ms(self._clock.now()))
            self._store.save_build(tx, build)
            if build.sandbox_id is not None and self._sandboxes.get(tx, build.sandbox_id) is not None:
                # Left by an attempt that a crash ended; reconciliation removes it.
                self._sandboxes.set_phase(tx, build.sandbox_id, Phase.DESTROYING)
            if not build.explain:
                for listener in self._listeners:
                    listener.build_ended(tx, build, None)
            self._hub.announce(self._db, tx, f"build:{build_id}")
            return build, True

        build, ended = await self._db.write(cancel)
        if ended:
            await self._logs.close(build.log_id)
        return build

    async def log(
        self, principal: Principal, build_id: BuildId, offset: int = 0, *, max_bytes: int = 1 << 20
    ) -> list[LogFrame]:
        """Return whole frames of the build's log from *offset* on."""
        build = await self.build(principal, build_id)
        return await self._logs.read(build.log_id, offset, max_bytes=max_bytes)

    async def follow_log(self, principal: Principal, build_id: BuildId, offset: int = 0) -> AsyncIterator[LogFrame]:
        """Yield the build's log from *offset* on as it comes, until the build is over."""
        build = await self.build(principal, build_id)
        if machine.is_over(build) and not (await self._logs.position(build.log_id)).closed:
            # Ended by a server that died before it could close the log: nobody else would.
            await self._logs.close(build.log_id)
        async for frame in self._logs.follow(build.log_id, offset):
            yield frame

    async def ended(self, principal: Principal, build_id: BuildId) -> Build:
        """Wait until a build is over, and return it; its log is closed a moment before."""
        with self._hub.subscribe(f"build:{build_id}") as woken:
            while True:
                woken.clear()
                build = await self.build(principal, build_id)
                if machine.is_over(build):
                    return build
                await woken.wait()

    def _find(self, tx: Tx, principal: Principal, build_id: BuildId) -> Build:
        build = self._store.build(tx, build_id)
        if build is None or build.project_id != principal.project_id:
            raise NotFoundError(
                f"There is no build {build_id[:100]}.",
                code="build_not_found",
                hint="skep builds lists those there are.",
            )
        return build

    def _require_upload(self, tx: Tx, project_id: str, source: UploadSource) -> None:
        upload = self._store.upload(tx, source.upload_id)
        if upload is None or upload.project_id != project_id:
            raise NotFoundError(
                f"There is no upload {source.upload_id}.", code="upload_not_found", hint="Upload the folder again."
            )
