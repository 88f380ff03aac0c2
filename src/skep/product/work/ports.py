"""Where work is kept, and who does it."""

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from skep.kernel.database import Tx
from skep.product.work.model import Lease, NewWork, WorkId, WorkItem


class WorkStore(Protocol):
    """Rows of work. Times are the database's own: `now_ms` of PostgreSQL, the clock's with SQLite."""

    def enqueue(self, tx: Tx, work: NewWork) -> None:
        """Add a piece of work; a live one of the same (kind, ref) is left as it is."""
        ...

    def claim(
        self,
        tx: Tx,
        *,
        kinds: Collection[str],
        owner: str,
        node_id: str,
        lease_ms: int,
        key_limits: Mapping[str, int],
        default_key_limits: Mapping[str, int],
        most: int,
        only_resting: bool = False,
    ) -> list[WorkItem]:
        """Take the next items that may be done now, at most *most*, oldest first: one statement.

        An item may be done when it is queued and due, or its lease ran out; and for each of its keys fewer
        items are leased than `key_limits[key]`, or `default_key_limits[prefix of key up to ':']`, allows.
        Among projects the one with the fewest leased items comes first; within a project, the oldest item.
        An item that rests is kept back by no limit and counts for none, nor among its project's;
        with *only_resting* no others are taken.

        The items are those that as many claims of one each would take. There may be fewer than could be had: there
        is nothing more to claim only when none comes.
        """
        ...

    def heartbeat(self, tx: Tx, lease: Lease, lease_ms: int) -> bool:
        """Extend the lease; return whether a cancel is asked for.

        Raises:
            FencedError: the lease is lost.
        """
        ...

    def check(self, tx: Tx, lease: Lease) -> None:
        """Raise `FencedError` unless *lease* is the newest and still leased."""
        ...

    def finish(self, tx: Tx, lease: Lease) -> None:
        """Mark the item done (after `check`)."""
        ...

    def retry(self, tx: Tx, lease: Lease, *, not_before_ms: int, error: str) -> bool:
        """Put the item back (after `check`); False when its attempts are used up and it is dead now."""
        ...

    def rest(self, tx: Tx, lease: Lease) -> None:
        """Give back the item's place under all limits; it stays leased, and its holder goes on renewing the lease.

        It rests until `go_on`, whoever holds it by then.

        Raises:
            FencedError: the lease is lost.
        """
        ...

    def go_on(self, tx: Tx, work_id: WorkId) -> None:
        """Have the item take its place again, if it rests; a limit may be exceeded by it, and new claims wait."""
        ...

    def resting(self, tx: Tx, owner: str) -> frozenset[WorkId]:
        """Return what rests of the items that *owner* holds."""
        ...

    def request_cancel(self, tx: Tx, kind: str, ref: str) -> bool:
        """Ask the holder to stop; True if somebody holds it. An item that only waits becomes done."""
        ...

    def release_owner(self, tx: Tx, owners: Collection[str]) -> int:
        """Give up all leases of owners that are known to be dead; return how many."""
        ...

    def get(self, tx: Tx, work_id: WorkId) -> WorkItem | None:
        """Return the item, if it exists."""
        ...

    def counts(self, tx: Tx) -> Mapping[str, int]:
        """Return the number of items per state."""
        ...

    def prune(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete done items that ended before *before_ms*, at most *limit*; return how many."""
        ...

    def prune_dead(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete items that were given up on before *before_ms*, at most *limit*; return how many."""
        ...


class Handler(Protocol):
    """Does one kind of work."""

    async def run(self, item: WorkItem, lease: Lease) -> None:
        """Do it, from wherever an earlier attempt stopped; finish it by `WorkStore.finish` in the final commit.

        The task is cancelled when the lease is lost or the server stops (then the work stays leased and is
        taken up again). When a cancel is asked for, `cancel` is called.
        """
        ...

    async def cancel(self, item: WorkItem) -> None:
        """Make the running `run` of this item end soon, by ending what it waits for."""
        ...


@runtime_checkable
class GivesUp(Protocol):
    """Extra of a handler: is told when an item is given up on, in the transaction that makes it so."""

    def given_up(self, tx: Tx, item: WorkItem, error: str) -> None:
        """Bring what *item* was about to its end: nobody will work on it any more."""
        ...

    async def gave_up(self, item: WorkItem) -> None:
        """Do what can only follow the commit of `given_up`; a crash in between skips it."""
        ...
