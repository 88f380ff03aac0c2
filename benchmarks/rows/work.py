"""Durable work, from claim to done."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import count

from sqlalchemy import text

from benchmarks.bench import Bench, Measure, Row, load
from benchmarks.model import Bar, Figure
from benchmarks.rows.database import CALLERS, TABLE, database, driver, insert, rate
from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.mapper import on
from skep.adapters.storage.stores import Stores, make_stores
from skep.kernel.clock import SystemClock, to_ms
from skep.kernel.database import Tx
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.work.model import Lease, NewWork, WorkId, WorkItem, WorkLimits
from skep.product.work.ports import WorkStore
from skep.product.work.service import WorkService

_ITEMS = 3_000
#: The least that is work at all: no lanes, no limits, no turns, no callers.
_BARE_CLAIM = """UPDATE work SET state = 'leased', owner = 'bare', fence = fence + 1, lease_until_ms = 9999999999999
WHERE id IN (SELECT id FROM work WHERE state = 'queued' ORDER BY lane, id LIMIT {callers} {lock}) RETURNING id, fence"""
_BARE_END = """UPDATE work SET state = 'done', owner = '', lease_until_ms = 0, ended_ms = 1
WHERE id = {value} AND fence = {value} AND owner = 'bare' AND state = 'leased'"""


async def work(bench: Bench, *, kind: str) -> AsyncIterator[Figure]:
    """The whole service: items claimed, handled by nothing, finished; beside it bare writes, and the driver alone."""
    before = load()
    ours, bare, alone = list[float](), list[float](), list[float]()
    async with database(kind) as db:
        await db.write(lambda tx: on(tx).execute(text(TABLE)) and None)
        numbers = count()
        for _ in range(bench.repetitions):
            ours.append(await claimed_to_done(db, _ITEMS))
            await db.write(partial(_enqueue, stores=make_stores(db.dialect, lambda: 0), ids=IdSource(), total=_ITEMS))
            alone.append(await asyncio.to_thread(_driver_alone, db))
            bare.append(await rate(_ITEMS, lambda: _two_writes(db, numbers)))
    yield bench.figure(
        "work items, claim to done",
        "items/s",
        ours,
        Bar(limit=3_000, at_least=True),
        peers={"two bare writes each": bare, f"driver alone, {CALLERS} a claim, an end each": alone},
        load=before,
    )


async def _two_writes(db: SqlDatabase, numbers: "count[int]") -> None:
    await db.write(partial(insert, number=next(numbers)))
    await db.write(partial(insert, number=next(numbers)))


def _driver_alone(db: SqlDatabase) -> float:
    """Work off what is queued as fast as Python's own driver can; return how many items a second."""
    quick = db.dialect == "sqlite"
    claim = _BARE_CLAIM.format(callers=CALLERS, lock="" if quick else "FOR UPDATE SKIP LOCKED")
    end = _BARE_END.format(value="?" if quick else "%s")
    connection, total = driver(db), 0
    began = time.perf_counter()
    while leases := connection.execute(claim).fetchall():
        connection.execute("BEGIN")
        for lease in leases:
            connection.execute(end, lease)
        connection.execute("COMMIT")
        total += len(leases)
    took = time.perf_counter() - began
    connection.close()
    return total / took


class _Nothing:
    """A handler that finishes what it is given."""

    def __init__(self, db: SqlDatabase, store: WorkStore, total: int) -> None:
        self._db = db
        self._store = store
        self._left = total
        self.over = asyncio.Event()

    async def run(self, item: WorkItem, lease: Lease) -> None:  # noqa: ARG002  the port's
        await self._db.write(lambda tx: self._finish(tx, lease))
        self._left -= 1
        if self._left == 0:
            self.over.set()

    async def cancel(self, item: WorkItem) -> None:
        raise AssertionError(f"nobody cancels {item.id}")

    def _finish(self, tx: Tx, lease: Lease) -> None:
        self._store.check(tx, lease)
        self._store.finish(tx, lease)


async def claimed_to_done(db: SqlDatabase, total: int) -> float:
    """Enqueue *total* items, then have a service work them off; return how many a second."""
    clock, ids, hub = SystemClock(), IdSource(), Hub()
    hub.bind(asyncio.get_running_loop())
    stores = make_stores(db.dialect, lambda: to_ms(clock.now()))
    await db.write(lambda tx: _enqueue(tx, stores, ids, total))
    handler = _Nothing(db, stores.work, total)
    service = WorkService(
        db,
        stores.work,
        hub,
        clock,
        ids,
        owner="inc_bench",
        node_id="nod_bench",
        handlers={"bench": handler},
        limits=WorkLimits(total=CALLERS),
    )
    began = time.perf_counter()
    working = asyncio.create_task(service.run())
    async with asyncio.timeout(300):
        await handler.over.wait()
    took = time.perf_counter() - began
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return total / took


def _enqueue(tx: Tx, stores: Stores, ids: IdSource, total: int) -> None:
    for _ in range(total):
        made = WorkId(ids.new("wrk", 1))
        stores.work.enqueue(tx, NewWork(id=made, kind="bench", ref=made, project_id="prj_bench"))


def _for(measure: Callable[..., AsyncIterator[Figure]], kind: str) -> Measure:
    return partial(measure, kind=kind)


ROWS = tuple(
    Row(name=f"work-{kind}", about=f"durable work, {kind}", measure=_for(work, kind))
    for kind in ("sqlite", "postgresql")
)
