"""The sandboxes of one attempt, one after another: each is intended on disk before it is made, gone before the next.

The first is the one that the attempt began with. Each later one is fresh but for the layers it stands on: nothing that
ran before it can have touched it.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from skep.kernel.clock import Clock
from skep.kernel.ids import IdSource
from skep.product.gateway.ports import Resolver
from skep.product.images.environment import DOOR_PORT
from skep.product.images.model import Build
from skep.product.images.records import BuildRecords
from skep.product.images.removal import Removal
from skep.product.images.workshop import BuildDriver, BuildLog, Workshop
from skep.product.sandboxes.model import Isolation, LayerId, Limits, SandboxId, SandboxSpec
from skep.product.work.model import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every stage of every build is made with."""

    driver: BuildDriver
    resolver: Resolver
    ids: IdSource
    clock: Clock
    limits: Limits


class Stages:
    """Makes the sandboxes of one attempt."""

    def __init__(
        self, tools: Tools, records: BuildRecords, removal: Removal, build: Build, lease: Lease, log: BuildLog
    ) -> None:
        self._tools = tools
        self._records = records
        self._removal = removal
        self._build = build
        self._lease = lease
        self._log = log
        self._next = build.sandbox_id

    @asynccontextmanager
    async def stage(self, layers: tuple[LayerId, ...] = ()) -> AsyncGenerator[Workshop]:
        """Make a sandbox that stands on *layers*, lowest first, with a door that leads nowhere yet."""
        tools = self._tools
        spec = SandboxSpec(
            id=await self._intended(),
            project_id=self._build.project_id,
            isolation=Isolation.CONTAINER,
            limits=tools.limits,
            layers=layers,
            doors=(DOOR_PORT,),
        )
        handle = await tools.driver.create(spec)
        await self._records.sandbox_ready(spec.id, self._lease, handle)
        workshop = Workshop(tools.driver, handle, self._log, tools.ids, tools.clock)
        async with workshop.door(tools.resolver):
            yield workshop

    async def _intended(self) -> SandboxId:
        """Return the id of the next sandbox, which is in the rows; the one before it is gone."""
        if (first := self._next) is not None:
            self._next = None
            return first
        before, after = await self._records.next_sandbox(self._build.id, self._lease)
        if before is not None:
            await self._removal.one(before)
        return after
