"""Keeps what exists on this machine and what the rows say the same: after a crash, and from time to time."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from skep.kernel.database import Database, Tx
from skep.kernel.errors import NotFoundError, SkepError
from skep.product.sandboxes.machine import Verdict, judge
from skep.product.sandboxes.model import Handle, Sandbox, SandboxId
from skep.product.sandboxes.ports import Driver, Leftovers, SandboxStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What a reconciliation removed."""

    sandboxes: Sequence[str] = ()
    rows: Sequence[str] = ()
    leftovers: Sequence[str] = ()


class SandboxService:
    """Removes sandboxes that no row intends, and rows whose sandbox is to go; touches nothing that is in use."""

    def __init__(self, db: Database, store: SandboxStore, driver: Driver, node_id: str) -> None:
        self._db = db
        self._store = store
        self._driver = driver
        self._node_id = node_id

    async def reconcile(self, *, sweep: bool = False) -> Reconciled:
        """Compare what exists with what is intended, and destroy the difference.

        The driver is asked first, the rows are read second: a sandbox that is being made meanwhile has its row
        already, because the intent is committed before the effect.

        Args:
            sweep: also remove mounts, control groups and folders that belong to no sandbox.
        """
        existing = {handle.id: handle for handle in await self._driver.recover()}
        rows = {row.id: row for row in await self._rows()}
        gone: list[SandboxId] = []
        destroyed: list[str] = []
        for sandbox_id in sorted(existing.keys() | rows.keys()):
            handle, row = existing.get(sandbox_id), rows.get(sandbox_id)
            match judge(exists=handle is not None, row=row):
                case Verdict.KEEP:
                    continue
                case Verdict.DESTROY if handle is not None:
                    if not await self._destroyed(handle):
                        continue
                    destroyed.append(sandbox_id)
                case _:
                    pass
            if row is not None:
                gone.append(sandbox_id)
        if gone:
            await self._db.write(lambda tx: self._store.delete(tx, gone))
        swept: Sequence[str] = ()
        if sweep and isinstance(self._driver, Leftovers):
            swept = await self._driver.sweep()
        if destroyed or gone or swept:
            log.info(
                "removed what a crash left", extra={"sandboxes": destroyed, "rows": gone, "leftovers": list(swept)}
            )
        return Reconciled(sandboxes=destroyed, rows=gone, leftovers=swept)

    async def leftovers(self) -> list[str]:
        """Name what exists and is intended by nobody, without touching it."""
        existing = {handle.id: handle for handle in await self._driver.recover()}
        rows = {row.id: row for row in await self._rows()}
        found = [f"sandbox {i}" for i in existing if judge(exists=True, row=rows.get(i)) is Verdict.DESTROY]
        if isinstance(self._driver, Leftovers):
            found += await self._driver.leftovers()
        return found

    async def _rows(self) -> list[Sandbox]:
        def rows(tx: Tx) -> list[Sandbox]:
            return self._store.of_node(tx, self._node_id)

        return await self._db.read(rows)

    async def _destroyed(self, handle: Handle) -> bool:
        try:
            await self._driver.destroy(handle)
        except NotFoundError:
            return True
        except SkepError as error:
            log.warning(
                "could not destroy a sandbox; tried again later", extra={"sandbox": handle.id, "why": str(error)}
            )
            return False
        return True
