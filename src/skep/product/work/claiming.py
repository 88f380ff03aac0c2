"""Takes work for one server: as much as it has room for, and whatever rests beside it."""

import math
import time
from collections.abc import Collection, Mapping

from skep.kernel.database import Database, Tx
from skep.product.work.model import WorkId, WorkItem, WorkLimits, WorkTiming
from skep.product.work.ports import Handler, WorkStore

_AT_ONCE = 32


class Claiming:
    """One server's claims."""

    def __init__(
        self,
        db: Database,
        store: WorkStore,
        *,
        owner: str,
        node_id: str,
        handlers: Mapping[str, Handler],
        limits: WorkLimits,
        timing: WorkTiming,
    ) -> None:
        self._db = db
        self._store = store
        self._owner = owner
        self._node_id = node_id
        self._handlers = handlers
        self._limits = limits
        self._lease_ms = round(timing.lease_s * 1000)
        self._poll_s = timing.poll_s
        #: When it last looked, without room, for what rests and has nobody.
        self._looked_at = -math.inf

    async def more(self, held: Collection[WorkId]) -> tuple[list[WorkItem], bool]:
        """Take what there is room for beside *held*; and tell whether there may be more to take at once.

        Raises:
            UnavailableError: the database is away.
        """
        if not self._handlers or self._limits.total <= 0:
            return [], False
        room = self._limits.total - len(held)
        if room <= 0:
            # Asked only now: as long as there is room anyway it does not matter what rests.
            room += len(await self._db.read(lambda tx: self._store.resting(tx, self._owner)) & frozenset(held))
        if room <= 0:
            return await self._only_resting()
        items = await self._claim(min(room, _AT_ONCE))
        return items, len(items) == min(room, _AT_ONCE)

    async def _only_resting(self) -> tuple[list[WorkItem], bool]:
        """Take up what rested when its holder died: it needs no room, so it waits for none.

        This is seldom, so it is looked for no more often than work that nobody called out.
        """
        if time.monotonic() - self._looked_at < self._poll_s:
            return [], False
        items = await self._claim(_AT_ONCE, only_resting=True)
        more = len(items) == _AT_ONCE
        if not more:
            self._looked_at = time.monotonic()
        return items, more

    async def _claim(self, most: int, *, only_resting: bool = False) -> list[WorkItem]:
        return await self._db.write(lambda tx: self._claims(tx, most, only_resting=only_resting))

    def _claims(self, tx: Tx, most: int, *, only_resting: bool) -> list[WorkItem]:
        items: list[WorkItem] = []
        while len(items) < most:
            more = self._store.claim(
                tx,
                kinds=list(self._handlers),
                owner=self._owner,
                node_id=self._node_id,
                lease_ms=self._lease_ms,
                key_limits=self._limits.keys,
                default_key_limits=self._limits.key_defaults,
                most=most - len(items),
                only_resting=only_resting,
            )
            if not more:
                break
            items += more
        return items
