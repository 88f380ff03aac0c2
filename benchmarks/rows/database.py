"""What the database bears: single writes that share commits."""

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
from benchmarks.model import Figure
from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.mapper import on
from skep.kernel.database import Tx
from skep.testing.postgres import PostgresServer

CALLERS = 64
_WRITES = 4_000
_BODY = "x" * 200
TABLE = "CREATE TABLE IF NOT EXISTS bench (id TEXT PRIMARY KEY, body TEXT NOT NULL)"
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
        await db.write(lambda tx: on(tx).execute(text(TABLE)) and None)
        numbers = count()
        for _ in range(bench.repetitions):
            ours.append(await rate(_WRITES, lambda: db.write(partial(insert, number=next(numbers)))))
            bare.append(await asyncio.to_thread(_driver_alone, db, _WRITES, CALLERS, numbers))
            single.append(await asyncio.to_thread(_driver_alone, db, _WRITES // 10, 1, numbers))
    peers = {f"driver alone, {CALLERS} a commit": bare, "driver alone, one a commit": single}
    yield bench.figure(f"durable writes of {CALLERS} callers", "writes/s", ours, peers=peers, load=before)


async def rate(total: int, action: Callable[[], Any]) -> float:
    """Return how often a second *action* is done by all callers together."""
    left = iter(range(total))

    async def caller() -> None:
        for _ in left:
            await action()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return total / (time.perf_counter() - began)


def insert(tx: Tx, *, number: int) -> None:
    on(tx).execute(text(f"{_INSERT} (:id, :body)"), {"id": f"{number:08}", "body": _BODY})


def _driver_alone(db: SqlDatabase, total: int, group: int, numbers: "count[int]") -> float:
    """Write as fast as Python's own driver can, *group* rows a commit."""
    rows = [(f"{next(numbers):08}", _BODY) for _ in range(total)]
    connection = driver(db)
    statement = f"{_INSERT} (?, ?)" if db.dialect == "sqlite" else f"{_INSERT} (%s, %s)"
    began = time.perf_counter()
    for start in range(0, total, group):
        connection.execute("BEGIN")
        for row in rows[start : start + group]:
            connection.execute(statement, row)
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return total / took


def driver(db: SqlDatabase) -> Any:
    """Connect to *db* by the driver alone, as durably as Skep does."""
    connection: Any
    if db.dialect == "sqlite":
        connection = sqlite3.connect(str(db.place), isolation_level=None, timeout=30)
        connection.execute("PRAGMA synchronous = FULL")
    else:
        connection = psycopg.connect(str(db.place), autocommit=True)
        connection.execute("SET search_path = skep")
    return connection


def _for(measure: Callable[..., AsyncIterator[Figure]], kind: str) -> Measure:
    return partial(measure, kind=kind)


ROWS = tuple(
    Row(name=f"writes-{kind}", about=f"group commit, {kind}", measure=_for(writes, kind))
    for kind in ("sqlite", "postgresql")
)
