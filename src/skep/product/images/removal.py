"""How the sandboxes of builds go: destroyed, then forgotten; what cannot be done now is left to reconciliation."""

import asyncio
from contextlib import suppress

from skep.kernel.errors import NotFoundError, UnavailableError
from skep.product.images.model import BuildId
from skep.product.images.records import BuildRecords
from skep.product.sandboxes.model import Handle, SandboxId
from skep.product.sandboxes.ports import Driver

_TRIES = 5
_PAUSE_S = 0.2


class Removal:
    """Removes sandboxes by the rows that intend them."""

    def __init__(self, records: BuildRecords, driver: Driver) -> None:
        self._records = records
        self._driver = driver

    async def all_of(self, build_id: BuildId) -> None:
        """Remove every sandbox that the build ever intended, and its row."""
        for sandbox_id in await self._records.sandboxes_of(build_id):
            await self.one(sandbox_id)

    async def one(self, sandbox_id: SandboxId) -> None:
        """Destroy a sandbox if it exists, and then its row."""
        await self._records.forget_sandbox(sandbox_id, gone=await self._destroyed(sandbox_id))

    async def end_processes(self, build_id: BuildId) -> None:
        """Destroy every sandbox of the build; their rows stay until it is over."""
        for sandbox_id in await self._records.sandboxes_of(build_id):
            await self._destroyed(sandbox_id)

    async def _destroyed(self, sandbox_id: SandboxId) -> bool:
        for _ in range(_TRIES):
            with suppress(UnavailableError):
                if (handle := await self._handle(sandbox_id)) is not None:
                    with suppress(NotFoundError):
                        await self._driver.destroy(handle)
                return True
            await asyncio.sleep(_PAUSE_S)
        return False

    async def _handle(self, sandbox_id: SandboxId) -> Handle | None:
        if (recorded := await self._records.handle_of(sandbox_id)) is not None:
            return recorded
        # It died between the intent and the effect's record: only the driver knows whether there is one.
        return next((handle for handle in await self._driver.recover() if handle.id == sandbox_id), None)
