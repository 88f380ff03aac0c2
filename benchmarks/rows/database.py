"""What the database bears: single writes that share commits, and durable work from claim to done."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from benchmarks.bench import Bench, Measure, Row, load
from benchmarks.model import Bar, Figure
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
from skep.testing.postgres import PostgresServer

_CALLERS = 64
_WRITES = 4_000
_ITEMS = 3_000
_BODY = "x" * 200
_TABLE = "CREATE TABLE IF NOT EXISTS bench (id TEXT PRIMARY KEY, body TEXT NOT NULL)"
_INSERT = "INSERT INTO bench (id, body) VALUES"


@asynccontextmanager
async def database(kind: str) -> AsyncGenerator[SqlDatabase]:
    """Hold a fresh database that writes to the disk as one in use does."""
    with tempfile.TemporaryDirectory(prefix="skep-bench-") as folder:
        if kind == "sqlite":
            async with SqlDatabase.open(Path(folder) / "skep.db") as db:
                await db.migrate()
                yield db
        else:
            with PostgresServer(durable=True) as server:
                async with SqlDatabase.open(server.url) as db:
                    await db.migrate()
                    yield db


async def writes(bench: Bench, *, kind: str) -> AsyncIterator[Figure]:
    """Many callers, a small insert each, answered when it is on disk; beside the driver alone."""
    before = load()
    ours, bare, single = list[float](), list[float](), list[float]()
    async with database(kind) as db:
        await db.write(lambda tx: on(tx).execute(text(_TABLE)) and None)
        numbers = count()
        for _ in range(bench.repetitions):
            ours.append(await _rate(_WRITES, lambda: db.write(partial(_insert, number=next(numbers)))))
            bare.append(await asyncio.to_thread(_driver_alone, db, _WRITES, _CALLERS, numbers))
            single.append(await asyncio.to_thread(_driver_alone, db, _WRITES // 10, 1, numbers))
    peers = {f"driver alone, {_CALLERS} a commit": bare, "driver alone, one a commit": single}
    yield bench.figure(f"durable writes of {_CALLERS} callers", "writes/s", ours, peers=peers, load=before)


async def work(bench: Bench, *, kind: str) -> AsyncIterator[Figure]:
    """The whole service: items claimed, handled by nothing, finished; beside two bare writes for each."""
    before = load()
    ours, bare = list[float](), list[float]()
    async with database(kind) as db:
        await db.write(lambda tx: on(tx).execute(text(_TABLE)) and None)
        numbers = count()
        for _ in range(bench.repetitions):
            ours.append(await claimed_to_done(db, _ITEMS))
            bare.append(await _rate(_ITEMS, lambda: _two_writes(db, numbers)))
    yield bench.figure(
        "work items, claim to done",
        "items/s",
        ours,
        Bar(limit=3_000, at_least=True),
        peers={"two bare writes each": bare},
        load=before,
    )


async def _rate(total: int, action: Callable[[], Any]) -> float:
    """Return how often a second *action* is done by all callers together."""
    left = iter(range(total))

    async def caller() -> None:
        for _ in left:
            await action()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return total / (time.perf_counter() - began)


def _insert(tx: Tx, *, number: int) -> None:
    on(tx).execute(text(f"{_INSERT} (:id, :body)"), {"id": f"{number:08}", "body": _BODY})


async def _two_writes(db: SqlDatabase, numbers: "count[int]") -> None:
    await db.write(partial(_insert, number=next(numbers)))
    await db.write(partial(_insert, number=next(numbers)))


def _driver_alone(db: SqlDatabase, total: int, group: int, numbers: "count[int]") -> float:
    """Write as fast as Python's own driver can, *group* rows a commit."""
    rows = [(f"{next(numbers):08}", _BODY) for _ in range(total)]
    connection: Any
    if db.dialect == "sqlite":
        connection = sqlite3.connect(str(db.place), isolation_level=None, timeout=30)
        connection.execute("PRAGMA synchronous = FULL")
        statement = f"{_INSERT} (?, ?)"
    else:
        connection = psycopg.connect(str(db.place), autocommit=True)
        connection.execute("SET search_path = skep")
        statement = f"{_INSERT} (%s, %s)"
    began = time.perf_counter()
    for start in range(0, total, group):
        connection.execute("BEGIN")
        for row in rows[start : start + group]:
            connection.execute(statement, row)
        connection.execute("COMMIT")
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
        limits=WorkLimits(total=_CALLERS),
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
    Row(name=f"{name}-{kind}", about=f"{about}, {kind}", measure=_for(measure, kind))
    for kind in ("sqlite", "postgresql")
    for name, about, measure in (("writes", "group commit", writes), ("work", "durable work", work))
)
