"""The rows of a build while it is worked on: each change is one transaction, checked against the lease."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.errors import NotFoundError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.blobs.model import BlobId, LogId
from skep.product.blobs.ports import LogStore
from skep.product.images import machine
from skep.product.images.failures import BuildFailedError
from skep.product.images.model import (
    Build,
    BuildId,
    Failure,
    Image,
    ImageId,
    UploadSource,
)
from skep.product.images.outcome import Made, Planned
from skep.product.images.ports import BuildListener, ImageStore
from skep.product.sandboxes.model import Handle, Phase, Sandbox, SandboxId
from skep.product.sandboxes.ports import SandboxStore
from skep.product.work.model import Lease
from skep.product.work.ports import WorkStore

_FIRST_RETRY_MS = 500
_LONGEST_RETRY_MS = 8_000


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


class BuildRecords:
    """Writes down how builds go; every writing verb raises `FencedError` once the lease is lost."""

    def __init__(
        self,
        *,
        db: Database,
        stores: Stores,
        logs: LogStore,
        listeners: Sequence[BuildListener],
        clock: Clock,
        ids: IdSource,
        hub: Hub,
        node_id: str,
    ) -> None:
        self._db = db
        self._stores = stores
        self._logs = logs
        # Kept, not copied: who listens may be made later.
        self._listeners = listeners
        self._clock = clock
        self._ids = ids
        self._hub = hub
        self._node_id = node_id

    async def find(self, build_id: BuildId) -> Build | None:
        """Return the build, if there is one."""
        return await self._db.read(lambda tx: self._stores.images.build(tx, build_id))

    async def blob_of(self, build: Build) -> BlobId | None:
        """Return the blob of the build's upload; None if it has none.

        Raises:
            BuildFailedError: the upload is not there any more.
        """
        source = build.source
        if not isinstance(source, UploadSource):
            return None
        upload = await self._db.read(lambda tx: self._stores.images.upload(tx, source.upload_id))
        if upload is None or upload.project_id != build.project_id:
            raise BuildFailedError(
                Failure(code="upload_not_found", message="The upload is gone.", hint="Upload the folder again.")
            )
        return upload.blob_id

    async def begin(self, build: Build, lease: Lease) -> Build:
        """Commit the intent of the next attempt: its number, and the sandbox that it will make.

        The sandbox of the one before may be on another machine, which died: it is to go when that is back.
        """
        now_ms = self._now_ms()
        sandbox = self._new_sandbox(build, now_ms)
        log_id = build.log_id
        if (await self._logs.position(log_id)).closed:
            # The attempt before had closed its log and died before it could record its end.
            log_id = LogId(self._ids.new("log", now_ms))

        def begin(tx: Tx) -> Build:
            self._stores.work.check(tx, lease)
            current = self._load(tx, build.id)
            if current.sandbox_id is not None:
                self._doom(tx, current.sandbox_id)
            intended = machine.begin_attempt(
                current, now_ms=now_ms, node_id=self._node_id, sandbox_id=sandbox.id, log_id=log_id
            )
            self._stores.images.save_build(tx, intended)
            self._stores.sandboxes.insert(tx, sandbox)
            self._notify(tx, build.id)
            return intended

        return await self._db.write(begin)

    async def step(self, build_id: BuildId, lease: Lease, name: str) -> None:
        """Say what the build is doing."""

        def change(tx: Tx) -> None:
            self._stores.work.check(tx, lease)
            self._stores.images.save_build(tx, replace(self._load(tx, build_id), step=name))
            self._notify(tx, build_id)

        await self._db.write(change)

    async def planned(self, build_id: BuildId, lease: Lease, planned: Planned) -> None:
        """Record what the source is, and what will be built of it: also for a build that fails later."""

        def change(tx: Tx) -> None:
            self._stores.work.check(tx, lease)
            self._stores.images.save_build(tx, _with_plan(self._load(tx, build_id), planned))
            self._notify(tx, build_id)

        await self._db.write(change)

    async def next_sandbox(self, build_id: BuildId, lease: Lease) -> tuple[SandboxId | None, SandboxId]:
        """Commit the intent of another sandbox, and that the one before is to go; return the ids of both."""
        now_ms = self._now_ms()

        def change(tx: Tx) -> tuple[SandboxId | None, SandboxId]:
            self._stores.work.check(tx, lease)
            build = self._load(tx, build_id)
            sandbox = self._new_sandbox(build, now_ms)
            if build.sandbox_id is not None:
                self._doom(tx, build.sandbox_id)
            self._stores.sandboxes.insert(tx, sandbox)
            self._stores.images.save_build(tx, replace(build, sandbox_id=sandbox.id))
            return build.sandbox_id, sandbox.id

        return await self._db.write(change)

    async def explained(self, build: Build, lease: Lease, planned: Planned) -> None:
        """Record the end of a build that only explains."""
        now_ms = self._now_ms()
        await self._end(build.id, lease, lambda current: machine.explained(_with_plan(current, planned), now_ms=now_ms))

    async def succeed(self, build: Build, lease: Lease, made: Made) -> None:
        """Record the image and the build's end."""
        now_ms = self._now_ms()
        image = Image(
            id=ImageId(self._ids.new("img", now_ms)),
            project_id=build.project_id,
            node_id=self._node_id,
            layers=made.layers,
            base_fingerprint=made.planned.base_fingerprint,
            recognised=made.planned.recognised,
            source_digest=made.planned.source_digest,
            commit=made.planned.commit,
            size=made.size,
            created_ms=now_ms,
        )
        await self._end(build.id, lease, lambda current: machine.succeed(current, image, now_ms=now_ms), image)

    async def fail(self, build_id: BuildId, lease: Lease, failure: Failure) -> None:
        """Record why there is no image."""
        now_ms = self._now_ms()
        await self._end(build_id, lease, lambda current: machine.fail(current, failure, now_ms=now_ms))

    async def cancel(self, build_id: BuildId, lease: Lease) -> None:
        """Record that somebody ended it."""
        now_ms = self._now_ms()
        await self._end(build_id, lease, lambda current: machine.cancel(current, now_ms=now_ms))

    async def retry(self, build: Build, lease: Lease, error: str) -> None:
        """Have the build taken up again, later after each attempt."""
        not_before_ms = self._now_ms() + min(_LONGEST_RETRY_MS, _FIRST_RETRY_MS * 2 ** (build.attempt - 1))
        await self._db.write(
            lambda tx: self._stores.work.retry(tx, lease, not_before_ms=not_before_ms, error=error[:500])
        )

    async def finish_work(self, lease: Lease) -> None:
        """End work about which there is nothing to do."""

        def finish(tx: Tx) -> None:
            self._stores.work.check(tx, lease)
            self._stores.work.finish(tx, lease)

        await self._db.write(finish)

    def give_up(self, tx: Tx, build_id: BuildId, failure: Failure) -> None:
        """Record within *tx* that nobody will work on the build any more."""
        build = self._stores.images.build(tx, build_id)
        if build is not None and not machine.is_over(build):
            self._record_end(tx, machine.fail(build, failure, now_ms=self._now_ms()), None)

    # ---- the sandboxes' rows

    async def sandboxes_of(self, build_id: BuildId) -> list[SandboxId]:
        """Return the sandboxes of this machine that the build has intended and that are not known to be gone."""
        rows = await self._db.read(lambda tx: self._stores.sandboxes.of_node(tx, self._node_id))
        return [row.id for row in rows if row.owner == build_id]

    async def handle_of(self, sandbox_id: SandboxId) -> Handle | None:
        """Return the recorded handle, if it came to be recorded."""
        row = await self._db.read(lambda tx: self._stores.sandboxes.get(tx, sandbox_id))
        return None if row is None else row.handle

    async def sandbox_ready(self, sandbox_id: SandboxId, lease: Lease, handle: Handle) -> None:
        """Record that the sandbox was made."""

        def ready(tx: Tx) -> None:
            # Whoever has taken the build over has doomed it: it is not to be taken for one that is in use.
            self._stores.work.check(tx, lease)
            self._stores.sandboxes.set_phase(tx, sandbox_id, Phase.READY, handle)

        await self._db.write(ready)

    async def forget_sandbox(self, sandbox_id: SandboxId, *, gone: bool) -> None:
        """Remove the row of a sandbox that is *gone*; leave any other to reconciliation."""

        def forget(tx: Tx) -> None:
            if gone:
                self._stores.sandboxes.delete(tx, [sandbox_id])
            else:
                self._doom(tx, sandbox_id)

        await self._db.write(forget)

    # ---- inside

    async def _end(
        self, build_id: BuildId, lease: Lease, change: Callable[[Build], Build], image: Image | None = None
    ) -> None:
        """Record the end, tell the listeners, finish the work: one transaction, after the log is on disk."""
        build = await self._db.read(lambda tx: self._load(tx, build_id))
        await self._logs.close(build.log_id)

        def end(tx: Tx) -> None:
            self._stores.work.check(tx, lease)
            ended = change(self._load(tx, build_id))
            if image is not None:
                self._stores.images.insert_image(tx, image)
            self._record_end(tx, ended, image)
            self._stores.work.finish(tx, lease)

        await self._db.write(end)

    def _record_end(self, tx: Tx, ended: Build, image: Image | None) -> None:
        self._stores.images.save_build(tx, ended)
        if ended.sandbox_id is not None:
            self._doom(tx, ended.sandbox_id)
        if not ended.explain:
            for listener in self._listeners:
                listener.build_ended(tx, ended, image)
        self._notify(tx, ended.id)

    def _new_sandbox(self, build: Build, now_ms: int) -> Sandbox:
        return Sandbox(
            id=SandboxId(self._ids.new("sbx", now_ms)),
            project_id=build.project_id,
            node_id=self._node_id,
            owner=build.id,
            phase=Phase.INTENDED,
            handle=None,
            created_ms=now_ms,
        )

    def _doom(self, tx: Tx, sandbox_id: SandboxId) -> None:
        if self._stores.sandboxes.get(tx, sandbox_id) is not None:
            self._stores.sandboxes.set_phase(tx, sandbox_id, Phase.DESTROYING)

    def _load(self, tx: Tx, build_id: BuildId) -> Build:
        build = self._stores.images.build(tx, build_id)
        if build is None:
            raise NotFoundError(f"There is no build {build_id}.", code="build_not_found")
        return build

    def _notify(self, tx: Tx, build_id: BuildId) -> None:
        self._hub.announce(self._db, tx, f"build:{build_id}")

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


def _with_plan(build: Build, planned: Planned) -> Build:
    return replace(build, recognised=planned.recognised, commit=planned.commit, explanation=planned.explanation)
