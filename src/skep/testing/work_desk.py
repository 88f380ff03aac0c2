"""What conformance tests say to a work store, in short words.

Time is the database's own and cannot be moved: a lease of 0 ms is over at once, and `LATER` never comes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from skep.kernel.database import Database, Tx
from skep.product.work.model import Lease, NewWork, WorkId, WorkItem, WorkState
from skep.product.work.ports import WorkStore

#: The year 2100, in milliseconds.
LATER = 4_102_444_800_000

_NO_LIMITS: Mapping[str, int] = {}


def work(number: int, **changes: Any) -> NewWork:
    """Return the piece of work number *number*; later ones have greater numbers."""
    whole: dict[str, Any] = {
        "id": WorkId(f"wrk_{number:04}"),
        "kind": "run",
        "ref": f"run_{number}",
        "project_id": "prj_1",
    }
    return NewWork(**(whole | changes))


def lease_of(item: WorkItem) -> Lease:
    """Return the lease that a claim gave."""
    return Lease(work_id=item.id, fence=item.fence, owner=item.owner)


class _TakenBackError(Exception):
    """Takes back the transaction that raises it."""


class WorkDesk:
    """Short words for what the tests do with a store."""

    def __init__(self, db: Database, store: WorkStore) -> None:
        self.db = db
        self.store = store

    async def add(self, *items: NewWork) -> None:
        """Enqueue pieces of work, each in its own commit."""
        for item in items:
            await self.db.write(lambda tx, item=item: self.store.enqueue(tx, item))

    async def claims(self, most: int, **choice: Any) -> list[WorkItem]:
        """Claim at most *most* at once."""
        return await self.db.write(lambda tx: self._claims(tx, most, **choice))

    async def would_claim(self, most: int, *, at_once: int, **choice: Any) -> set[str]:
        """Return what claims of *at_once* each would take until there are *most*; nothing is changed."""
        refs = set[str]()

        def unit(tx: Tx) -> None:
            refs.clear()
            while items := self._claims(tx, min(at_once, most - len(refs)), **choice):
                refs.update(item.ref for item in items)
                if len(refs) == most:
                    break
            raise _TakenBackError

        with pytest.raises(_TakenBackError):
            await self.db.write(unit)
        return refs

    def _claims(
        self,
        tx: Tx,
        most: int,
        *,
        kinds: Sequence[str] = ("run",),
        owner: str = "inc_1",
        node_id: str = "nod_1",
        lease_ms: int = 60_000,
        limits: Mapping[str, int] = _NO_LIMITS,
        defaults: Mapping[str, int] = _NO_LIMITS,
        only_resting: bool = False,
    ) -> list[WorkItem]:
        return self.store.claim(
            tx,
            kinds=kinds,
            owner=owner,
            node_id=node_id,
            lease_ms=lease_ms,
            key_limits=limits,
            default_key_limits=defaults,
            most=most,
            only_resting=only_resting,
        )

    async def claim(self, **choice: Any) -> WorkItem | None:
        """Claim one piece, if there is one."""
        items = await self.claims(1, **choice)
        assert len(items) <= 1
        return items[0] if items else None

    async def take(self, **choice: Any) -> WorkItem:
        """Claim one piece; there must be one."""
        item = await self.claim(**choice)
        assert item is not None
        return item

    async def refs(self, count: int, **choice: Any) -> list[str]:
        """Claim *count* pieces one by one; return what they are about."""
        return [(await self.take(**choice)).ref for _ in range(count)]

    async def finish(self, item: WorkItem) -> None:
        """End it."""
        await self.db.write(lambda tx: self.store.finish(tx, lease_of(item)))

    async def retry(self, item: WorkItem, not_before_ms: int = 0) -> bool:
        """Put it back after an error."""
        return await self.db.write(
            lambda tx: self.store.retry(tx, lease_of(item), not_before_ms=not_before_ms, error="boom")
        )

    async def beat(self, item: WorkItem, lease_ms: int = 60_000) -> bool:
        """Renew its lease; return whether a cancel is asked for."""
        return await self.db.write(lambda tx: self.store.heartbeat(tx, lease_of(item), lease_ms))

    async def rest(self, item: WorkItem) -> None:
        """Give back its place."""
        await self.db.write(lambda tx: self.store.rest(tx, lease_of(item)))

    async def go_on(self, item: WorkItem) -> None:
        """Have it take its place again."""
        await self.db.write(lambda tx: self.store.go_on(tx, item.id))

    async def resting(self, owner: str) -> frozenset[WorkId]:
        """Return what rests of what *owner* holds."""
        return await self.db.read(lambda tx: self.store.resting(tx, owner))

    async def check(self, item: WorkItem) -> None:
        """Check its lease."""
        await self.db.write(lambda tx: self.store.check(tx, lease_of(item)))

    async def check_and_finish(self, item: WorkItem) -> None:
        """Check its lease and end it, in one commit."""

        def unit(tx: Tx) -> None:
            self.store.check(tx, lease_of(item))
            self.store.finish(tx, lease_of(item))

        await self.db.write(unit)

    async def cancel(self, ref: str) -> bool:
        """Ask for the end of the work on *ref*."""
        return await self.db.write(lambda tx: self.store.request_cancel(tx, "run", ref))

    async def state(self, number: int) -> WorkState | None:
        """Return the state of the piece number *number*; None if there is none."""
        item = await self.db.read(lambda tx: self.store.get(tx, work(number).id))
        return item.state if item else None
