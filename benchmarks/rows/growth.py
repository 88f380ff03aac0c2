"""A listing, a look at one thing, and a claim must not become slower as the tables grow."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.bench import Bench, Row, load
from benchmarks.installed import Caller
from benchmarks.model import Bar, Figure
from benchmarks.rows.database import database
from benchmarks.rows.work import claimed_to_done
from skep.adapters.storage import tables
from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.mapper import Mapper, on
from skep.kernel.database import Tx
from skep.kernel.ids import IdSource
from skep.product.runs.model import Run, RunId, RunStatus
from skep.testing.installation import Installation, installation
from skep.testing.postgres import PostgresServer
from skep.testing.samples import RUN

_PAGE = 50
#: Three pages: an empty listing would say nothing of the work that a page is.
_FEW = 3 * _PAGE
_MANY = 100_000
_EVENTS = 10
_BLOCK = 2_000
_PEER = f"with {_FEW} runs"
_REQUESTS = 40
_CLAIMED = 1_000


async def listings(bench: Bench, *, kind: str) -> AsyncIterator[Figure]:
    """Two installations take turns: one with a few pages of runs, one with many."""
    before = load()
    found: dict[str, tuple[list[float], list[float]]] = {}
    with ExitStack() as stack:
        asked: list[dict[str, Callable[[], Any]]] = []
        for total in (_FEW, _MANY):
            skep, place = _installed(stack, kind)
            async with SqlDatabase.open(place) as db:
                known = await _fill(db, skep, total)
            caller = Caller(skep)
            stack.callback(caller.close)
            asked.append(_requests(caller, known))
        await asyncio.to_thread(_take_turns, asked, found, _REQUESTS * bench.repetitions)
    for what, (few, many) in found.items():
        yield bench.figure(
            f"{what}, {_MANY:,} runs, {_MANY * _EVENTS:,} events",
            "ms",
            many,
            Bar(limit=2, against=_PEER),
            peers={_PEER: few},
            load=before,
        )


def _installed(stack: ExitStack, kind: str) -> tuple[Installation, str | Path]:
    """Start an installation on a database of this kind; return it, and where its database is."""
    if kind == "sqlite":
        skep = stack.enter_context(installation())
        return skep, skep.settings.state_dir / "skep.db"
    url = stack.enter_context(PostgresServer(durable=True)).url
    # PostgreSQL's socket lies in a folder of this user's.
    return stack.enter_context(installation(SKEP_DATABASE_URL=url, SKEP_SERVER_USER="nobody")), url


async def _fill(db: SqlDatabase, skep: Installation, total: int) -> RunId:
    """Add runs and their events; return the id of the first."""
    project = await asyncio.to_thread(skep.call, "GET", "/api/v1/projects")
    ids, first = IdSource(), list[RunId]()
    for start in range(0, total, _BLOCK):
        run_ids = [RunId(ids.new("run", time.time_ns() // 1_000_000)) for _ in range(min(_BLOCK, total - start))]
        first = first or run_ids[:1]
        await db.write(partial(_insert, run_ids=run_ids, project_id=project["items"][0]["id"]))
    return first[0]


def _insert(tx: Tx, *, run_ids: list[RunId], project_id: str) -> None:
    rows = Mapper(tables.runs, Run)
    runs = [replace(RUN, id=run_id, project_id=project_id, status=RunStatus.SUCCEEDED) for run_id in run_ids]
    on(tx).execute(insert(tables.runs), [rows.row(run) for run in runs])
    events = [
        {"run_id": run_id, "seq": seq, "at_ms": seq, "type": "status", "data": '{"status":"running"}'}
        for run_id in run_ids
        for seq in range(1, _EVENTS + 1)
    ]
    on(tx).execute(insert(tables.run_events), events)


def _requests(caller: Caller, known: RunId) -> dict[str, Callable[[], Any]]:
    second = caller.call("GET", f"/runs?limit={_PAGE}")["next"]
    paths = {
        "GET /runs": f"/runs?limit={_PAGE}",
        "GET /runs, the second page": f"/runs?limit={_PAGE}&cursor={second}",
        "GET /runs, those of one status": f"/runs?limit={_PAGE}&status=succeeded",
        "GET /runs/{id}": f"/runs/{known}",
        "GET /runs/{id}/events": f"/runs/{known}/events",
    }
    return {name: partial(caller.call, "GET", path) for name, path in paths.items()}


def _take_turns(
    asked: list[dict[str, Callable[[], Any]]], found: dict[str, tuple[list[float], list[float]]], times: int
) -> None:
    for name in asked[0]:
        found[name] = ([], [])
        for _ in range(times):
            for requests, values in zip(asked, found[name], strict=True):
                values.append(_milliseconds(requests[name]))


def _milliseconds(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


async def claims(bench: Bench, *, kind: str) -> AsyncIterator[Figure]:
    """Two databases take turns: one with nothing done before, one with much."""
    before = load()
    few, many = list[float](), list[float]()
    async with database(kind) as small, database(kind) as large:
        await large.write(_done_work)
        for _ in range(bench.repetitions):
            few.append(1000 / await claimed_to_done(small, _CLAIMED))
            many.append(1000 / await claimed_to_done(large, _CLAIMED))
    peer = "with next to none"
    yield bench.figure(
        f"a work item, claim to done, {_MANY:,} done before",
        "ms",
        many,
        Bar(limit=2, against=peer),
        peers={peer: few},
        load=before,
    )


def _done_work(tx: Tx) -> None:
    ids = IdSource()
    usual = {
        **dict.fromkeys(("node_id", "k1", "k2", "k3", "lane", "owner", "last_error"), ""),
        **dict.fromkeys(("max_attempts", "errors", "not_before_ms", "lease_until_ms"), 0),
        **dict.fromkeys(("fence", "attempts", "created_ms", "ended_ms"), 1),
        **{"kind": "bench", "project_id": "prj_bench", "state": "done", "cancel_requested": False},  # noqa: PIE800
    }
    for _ in range(_MANY // _BLOCK):
        made = [ids.new("wrk", 1) for _ in range(_BLOCK)]
        on(tx).execute(insert(tables.work), [{**usual, "id": one, "ref": one} for one in made])


ROWS = tuple(
    row
    for kind in ("sqlite", "postgresql")
    for row in (
        Row(
            name=f"growth-{kind}",
            about=f"listings of {_MANY:,} runs, {kind}",
            measure=partial(listings, kind=kind),
            sandboxes=True,
        ),
        Row(name=f"claims-{kind}", about=f"claims among {_MANY:,} items, {kind}", measure=partial(claims, kind=kind)),
    )
)
