"""Does durable work: claims what is due, runs its handlers, keeps the leases alive.

A handler's task is cancelled when its lease is lost and when the server stops. In both cases nothing is written:
the work is taken up again, by whoever claims it next, from what the handler had committed.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.errors import FencedError, UnavailableError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.work.claiming import Claiming
from skep.product.work.machine import backoff_s, is_left_open, is_lost
from skep.product.work.model import Lease, NewWork, WorkId, WorkItem, WorkLimits, WorkTiming
from skep.product.work.ports import GivesUp, Handler, WorkStore

logger = logging.getLogger(__name__)

#: Hub topics: there may be work to claim; somebody asked for a cancel.
TOPIC = "work"
CANCEL_TOPIC = "work.cancel"

_MAX_ERROR = 2000
#: How long a handler that has given its item back may go on clearing up after it.
_CLEARING_UP_S = 2.0


@dataclass(slots=True, eq=False)
class _Held:
    """An item that this server works on."""

    item: WorkItem
    lease: Lease
    handler: Handler
    task: asyncio.Task[None] | None = None
    #: `handler.cancel` was called.
    cancelled: bool = False
    #: Its handler is over, or has said its last word: the lease needs no more renewal.
    over: bool = False


class WorkService:
    """One server's share of the work; `run` goes on until it is cancelled."""

    def __init__(
        self,
        db: Database,
        store: WorkStore,
        hub: Hub,
        clock: Clock,
        ids: IdSource,
        *,
        owner: str,
        node_id: str,
        handlers: Mapping[str, Handler],
        limits: WorkLimits,
        timing: WorkTiming | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._db = db
        self._store = store
        self._hub = hub
        self._clock = clock
        self._ids = ids
        self._owner = owner
        self._handlers = handlers
        self._limits = limits
        self._timing = timing or WorkTiming()
        self._claiming = Claiming(
            db, store, owner=owner, node_id=node_id, handlers=handlers, limits=limits, timing=self._timing
        )
        self._jitter = jitter
        self._held: dict[WorkId, _Held] = {}
        #: What goes on beside the handlers: calls of `cancel`, giving back.
        self._asides: set[asyncio.Task[None]] = set()
        #: What handlers returned from since the last heartbeat: it is to be seen that they finished it.
        self._returned: list[_Held] = []
        self._last_beat = time.monotonic()

    # ---- for services that have work done
    def new_id(self) -> WorkId:
        """Make the id of a new piece of work."""
        return WorkId(self._ids.new("wrk", to_ms(self._clock.now())))

    def enqueue(self, tx: Tx, work: NewWork) -> None:
        """Add *work*; it is looked at as soon as *tx* is committed."""
        self._store.enqueue(tx, work)
        self._hub.announce(self._db, tx, TOPIC)

    def request_cancel(self, tx: Tx, kind: str, ref: str) -> bool:
        """Ask for the end of the work on *ref*; True if somebody holds it and will be told."""
        held = self._store.request_cancel(tx, kind, ref)
        if held:
            self._hub.announce(self._db, tx, CANCEL_TOPIC)
        return held

    def rest(self, tx: Tx, lease: Lease) -> bool:
        """Give back the place of what *lease* holds until `WorkStore.go_on`; False: as many rest as may, it keeps it.

        Raises:
            FencedError: the lease is lost.
        """
        if len(self._store.resting(tx, lease.owner)) >= self._limits.resting:
            return False
        self._store.rest(tx, lease)
        self._hub.announce(self._db, tx, TOPIC)
        return True

    @property
    def holding(self) -> int:
        """Return how many items this server works on."""
        return len(self._held)

    # ---- the loops
    async def run(self) -> None:
        """Work until cancelled; then leave the leases to the next start (`WorkStore.release_owner`).

        They are not given up at the end: another machine's server would take up at once what lives in sandboxes of
        this one, and lose it, where a restart goes on with it.
        """
        beats = asyncio.create_task(self._beat_for_ever(), name="work-beats")
        try:
            with self._hub.subscribe(TOPIC) as wake:
                while True:
                    wake.clear()
                    if not await self._fill():
                        await _wait(wake, self._timing.poll_s)
        finally:
            await self._stop(beats)

    async def _stop(self, beats: asyncio.Task[None]) -> None:
        tasks = [beats, *self._asides, *(held.task for held in self._held.values() if held.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fill(self) -> bool:
        """Claim while there is room; True if there may be more to claim at once."""
        try:
            items, more = await self._claiming.more(self._held)
        except UnavailableError as exc:
            logger.warning("no work can be claimed: %s", exc)
            return False
        for item in items:
            self._start(item)
        return more

    @property
    def _lease_ms(self) -> int:
        return round(self._timing.lease_s * 1000)

    # ---- one item
    def _start(self, item: WorkItem) -> None:
        lease = Lease(work_id=item.id, fence=item.fence, owner=self._owner)
        before = self._held.get(item.id)
        held = _Held(item, lease, self._handlers[item.kind])
        self._held[item.id] = held
        held.task = asyncio.create_task(self._do(held, before), name=f"work-{item.kind}-{item.ref}")
        if item.cancel_requested:
            self._cancel(held)

    async def _do(self, held: _Held, before: _Held | None) -> None:
        item = held.item
        try:
            if before is not None and before.task is not None:
                # The item came back to us: given back by a handler that still clears up, or by a lease that ran out.
                await asyncio.wait([before.task], timeout=_CLEARING_UP_S)
                before.task.cancel()
                await asyncio.wait([before.task])
            await held.handler.run(item, held.lease)
            self._returned.append(held)
        except FencedError:
            logger.info("somebody else has taken over %s %s", item.kind, item.ref)
        except Exception as exc:
            logger.exception("work on %s %s failed", item.kind, item.ref, extra={"work_id": item.id})
            await self._give_back(held, _describe(exc))
        finally:
            held.over = True
            if self._held.get(item.id) is held:
                del self._held[item.id]
            self._hub.notify(TOPIC)

    async def _give_back(self, held: _Held, error: str) -> None:
        delay_s = backoff_s(held.item.errors + 1, self._jitter())
        not_before_ms = to_ms(self._clock.now()) + round(delay_s * 1000)
        while True:
            try:
                again = await self._db.write(lambda tx: self._put_back(tx, held, not_before_ms, error))
            except FencedError:
                return
            except UnavailableError:
                # The heart goes on beating meanwhile, or the lease runs out: both are right.
                await asyncio.sleep(self._timing.poll_s)
                continue
            break
        if again:
            asyncio.get_running_loop().call_later(delay_s, self._hub.notify, TOPIC)
        else:
            logger.error("gave up on %s %s: %s", held.item.kind, held.item.ref, error, extra={"work_id": held.item.id})
            await self._say_so(held)

    async def _say_so(self, held: _Held) -> None:
        if not isinstance(held.handler, GivesUp):
            return
        try:
            await held.handler.gave_up(held.item)
        except Exception:
            logger.exception("what follows giving up on %s %s failed", held.item.kind, held.item.ref)

    def _put_back(self, tx: Tx, held: _Held, not_before_ms: int, error: str) -> bool:
        again = self._store.retry(tx, held.lease, not_before_ms=not_before_ms, error=error)
        if not again and isinstance(held.handler, GivesUp):
            held.handler.given_up(tx, held.item, error)
        return again

    # ---- the heartbeat
    async def _beat_for_ever(self) -> None:
        with self._hub.subscribe(CANCEL_TOPIC) as asked:
            while True:
                await _wait(asked, self._timing.beat_s)
                asked.clear()
                try:
                    await self._beat()
                except UnavailableError as exc:
                    logger.warning("leases cannot be renewed: %s", exc)
                    self._drop_if_silent()
                except Exception:
                    logger.exception("a heartbeat failed")

    async def _beat(self) -> None:
        holds = [held for held in self._held.values() if not held.over]
        began = time.monotonic()
        if holds:
            lost, cancelled = await self._db.write(lambda tx: self._renew(tx, holds))
            for held in lost:
                self._drop(held)
            for held in cancelled:
                self._cancel(held)
        self._last_beat = began
        await self._look_after_returned()

    async def _look_after_returned(self) -> None:
        """Give back what a handler returned from without finishing it: nobody else would, until the lease is over."""
        returned, self._returned = self._returned, []
        if not returned:
            return
        try:
            items = await self._db.read(lambda tx: [self._store.get(tx, held.item.id) for held in returned])
        except UnavailableError:
            self._returned += returned
            raise
        for held, item in zip(returned, items, strict=True):
            if is_left_open(item, held.lease):
                logger.error("the handler of %s %s returned without finishing it", held.item.kind, held.item.ref)
                self._aside(self._give_back(held, "the handler returned without finishing its work"))

    def _renew(self, tx: Tx, holds: list[_Held]) -> tuple[list[_Held], list[_Held]]:
        lost: list[_Held] = []
        cancelled: list[_Held] = []
        for held in holds:
            try:
                if self._store.heartbeat(tx, held.lease, self._lease_ms):
                    cancelled.append(held)
            except FencedError:
                if is_lost(self._store.get(tx, held.item.id), held.lease):
                    lost.append(held)
        return lost, cancelled

    def _drop_if_silent(self) -> None:
        """Stop everything whose lease may have run out: somebody else may have begun it."""
        if time.monotonic() - self._last_beat >= self._timing.lease_s:
            for held in self._held.values():
                self._drop(held)

    def _drop(self, held: _Held) -> None:
        if held.task is not None and not held.over:
            logger.warning("the lease on %s %s is lost", held.item.kind, held.item.ref)
            held.over = True
            held.task.cancel()

    def _cancel(self, held: _Held) -> None:
        if held.cancelled or held.over:
            return
        held.cancelled = True
        self._aside(self._call_cancel(held))

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _call_cancel(self, held: _Held) -> None:
        try:
            await held.handler.cancel(held.item)
        except Exception:
            logger.exception("cancelling %s %s failed", held.item.kind, held.item.ref)


def _describe(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"[:_MAX_ERROR]


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Wait until *event* is set, at most *timeout_s*."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
