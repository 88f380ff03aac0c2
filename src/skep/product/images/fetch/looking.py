"""Asks a repository which commit a ref stands for: git in a sandbox of its own, which holds nothing else."""

import asyncio
from contextlib import suppress

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.errors import NotFoundError, UnavailableError
from skep.kernel.ids import IdSource, has_prefix
from skep.kernel.settings import MIB
from skep.product.blobs.model import LogId
from skep.product.blobs.ports import LogStore
from skep.product.gateway.ports import Resolver
from skep.product.images import failures
from skep.product.images.environment import DOOR_PORT
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetch.credentials import Credential
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.fetch.repository import Repository
from skep.product.images.model import GitSource
from skep.product.images.options import BuildOptions
from skep.product.images.workshop import BuildDriver, BuildLog, Workshop
from skep.product.sandboxes.model import Handle, Isolation, Limits, Phase, Sandbox, SandboxId, SandboxSpec, Stream
from skep.product.sandboxes.ports import SandboxStore
from skep.product.work.model import WorkId, WorkState
from skep.product.work.ports import WorkStore

_LIMITS = Limits(
    cpus=1.0, memory_bytes=256 * MIB, disk_bytes=64 * MIB, pids=64, open_files=1024, output_bytes=1 * MIB
)  # fmt: skip
_WORK = "wrk"


class _Unheard(BuildLog):
    """What git says while it is only asked is kept nowhere."""

    async def say(self, text: str) -> None:
        """Say nothing."""

    async def write(self, stream: Stream, data: bytes) -> None:
        """Write nothing."""


class Looker:
    """Implements `agents.watch.Look`; each look has a row among the sandboxes, whose owner is the piece of work."""

    def __init__(
        self,
        *,
        db: Database,
        sandboxes: SandboxStore,
        work: WorkStore,
        driver: BuildDriver,
        logs: LogStore,
        keyring: Keyring,
        resolver: Resolver,
        clock: Clock,
        ids: IdSource,
        node_id: str,
        options: BuildOptions,
    ) -> None:
        self._db = db
        self._sandboxes = sandboxes
        self._work = work
        self._driver = driver
        self._logs = logs
        self._keyring = keyring
        self._resolver = resolver
        self._clock = clock
        self._ids = ids
        self._node_id = node_id
        self._options = options

    async def look(self, project_id: str, source: GitSource, owner: str) -> str:
        """Return the commit that the source's ref stands for now."""
        await self._clear(owner)
        credential = await self._keyring.credential(project_id, source)
        sandbox_id = await self._intend(project_id, owner)
        limit = asyncio.timeout(2 * self._options.git_timeout_s)
        try:
            async with limit:
                return await self._ask(sandbox_id, project_id, source, credential)
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = failures.timed_out(self._options.git_timeout_s, "Looking at the repository")
            raise BuildFailedError(late) from error
        finally:
            await self._clear(owner)

    async def sweep(self) -> None:
        """Give up the sandboxes of looks that nobody goes on with; reconciliation removes them."""

        def left(tx: Tx) -> list[SandboxId]:
            mine = [row for row in self._rows(tx) if row.phase is not Phase.DESTROYING]
            return [row.id for row in mine if self._is_over(tx, row.owner)]

        if await self._db.read(left):
            await self._db.write(lambda tx: [self._sandboxes.set_phase(tx, one, Phase.DESTROYING) for one in left(tx)])

    def _is_over(self, tx: Tx, owner: str) -> bool:
        item = self._work.get(tx, WorkId(owner))
        return item is None or item.state in (WorkState.DONE, WorkState.DEAD)

    def _rows(self, tx: Tx) -> list[Sandbox]:
        return [row for row in self._sandboxes.of_node(tx, self._node_id) if has_prefix(row.owner, _WORK)]

    async def _intend(self, project_id: str, owner: str) -> SandboxId:
        now_ms = to_ms(self._clock.now())
        sandbox = Sandbox(
            id=SandboxId(self._ids.new("sbx", now_ms)),
            project_id=project_id,
            node_id=self._node_id,
            owner=owner,
            phase=Phase.INTENDED,
            handle=None,
            created_ms=now_ms,
        )
        await self._db.write(lambda tx: self._sandboxes.insert(tx, sandbox))
        return sandbox.id

    async def _ask(
        self, sandbox_id: SandboxId, project_id: str, source: GitSource, credential: Credential | None
    ) -> str:
        spec = SandboxSpec(
            id=sandbox_id, project_id=project_id, isolation=Isolation.CONTAINER, limits=_LIMITS, doors=(DOOR_PORT,)
        )
        handle = await self._driver.create(spec)
        await self._db.write(lambda tx: self._sandboxes.set_phase(tx, sandbox_id, Phase.READY, handle))
        log = _Unheard(self._logs, LogId(""), self._clock, ())
        workshop = Workshop(self._driver, handle, log, self._ids, self._clock)
        repository = Repository(
            workshop, self._options, source, project_id=project_id, keyring=self._keyring, credential=credential
        )
        async with workshop.door(self._resolver):
            await repository.open()
            return await repository.latest()

    async def _clear(self, owner: str) -> None:
        """Destroy what *owner* has made here, and then its rows; what cannot be done now is left to reconciliation."""
        for row in await self._db.read(self._rows):
            if row.owner == owner:
                await self._remove(row)

    async def _remove(self, row: Sandbox) -> None:
        try:
            handle = row.handle or await self._recovered(row.id)
            if handle is not None:
                with suppress(NotFoundError):
                    await self._driver.destroy(handle)
        except UnavailableError:
            await self._db.write(lambda tx: self._sandboxes.set_phase(tx, row.id, Phase.DESTROYING))
        else:
            await self._db.write(lambda tx: self._sandboxes.delete(tx, [row.id]))

    async def _recovered(self, sandbox_id: SandboxId) -> Handle | None:
        return next((handle for handle in await self._driver.recover() if handle.id == sandbox_id), None)
