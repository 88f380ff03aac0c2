"""A server's work, with a handler that does what the test says."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import make_stores
from skep.kernel.clock import SystemClock, to_ms
from skep.kernel.events import Hub
from skep.product.work.model import NewWork, WorkLimits, WorkTiming
from skep.product.work.service import WorkService
from skep.testing.wait import until

QUICK = WorkTiming(lease_s=0.6, beat_s=0.1, poll_s=0.05)


class Puppet:
    """A handler whose every call is told to the test, and does what the test wants."""

    def __init__(self, db, store) -> None:
        self.db = db
        self.store = store
        self.begun: asyncio.Queue = asyncio.Queue()
        self.cancels: asyncio.Queue = asyncio.Queue()
        self.stopped: asyncio.Queue = asyncio.Queue()
        self.act: Callable = self.finish
        self.given: list = []
        self.gave: asyncio.Queue = asyncio.Queue()

    async def run(self, item, lease):
        """Do as the test says."""
        self.begun.put_nowait(item)
        try:
            await self.act(item, lease)
        except asyncio.CancelledError:
            self.stopped.put_nowait(item)
            raise

    async def cancel(self, item):
        """Tell the test."""
        self.cancels.put_nowait(item)

    def given_up(self, tx, item, error):
        """Tell the test."""
        self.given.append((item.ref, error))

    async def gave_up(self, item):
        """Tell the test."""
        self.gave.put_nowait(item)

    async def finish(self, item, lease):
        """Act: be done with it."""
        await self.db.write(lambda tx: self.store.finish(tx, lease))

    async def hang(self, item, lease):
        """Act: go on until stopped."""
        await asyncio.Event().wait()


class Server:
    """One server process's part in the work."""

    def __init__(self, service, puppet, db, store) -> None:
        self.service = service
        self.puppet = puppet
        self.db = db
        self.store = store

    async def add(self, number, **changes):
        """Enqueue the piece of work number *number*."""
        whole = {"id": self.service.new_id(), "kind": "run", "ref": f"run_{number}", "project_id": "prj_1"}
        work = NewWork(**(whole | changes))
        await self.db.write(lambda tx: self.service.enqueue(tx, work))
        return work

    async def item(self, work):
        """Return what became of *work*."""
        return await self.db.read(lambda tx: self.store.get(tx, work.id))

    async def until(self, work, state):
        """Wait until *work* is in *state*."""

        async def reached():
            return (await self.item(work)).state is state

        await until(reached, what=f"{work.ref} to be {state}")
        return await self.item(work)

    async def until_renewed(self, work, by_ms):
        """Wait until the lease of *work* reaches *by_ms* further than now."""
        first = (await self.item(work)).lease_until_ms

        async def reached():
            return (await self.item(work)).lease_until_ms >= first + by_ms

        await until(reached, what="leases to be renewed")
        return await self.item(work)


@pytest.fixture
def store(db):
    """The work store, by the machine's clock."""
    clock = SystemClock()
    return make_stores(db.dialect, lambda: to_ms(clock.now())).work


@asynccontextmanager
async def serving(db, store, hub, ids, owner, *, limits=None, timing=QUICK, puppet=None):
    """Hold a server's share of the work."""
    puppet = puppet or Puppet(db, store)
    service = WorkService(
        db,
        store,
        hub,
        SystemClock(),
        ids,
        owner=owner,
        node_id="nod_1",
        handlers={"run": puppet},
        limits=limits or WorkLimits(),
        timing=timing,
        jitter=lambda: 1.0,
    )
    task = asyncio.create_task(service.run())
    try:
        yield Server(service, puppet, db, store)
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def serve(db, store, hub, ids):
    """How to start a server's share of the work, for as long as a `with` lasts."""

    def start(owner="inc_1", **choice):
        return serving(db, store, hub, ids, owner, **choice)

    return start


@pytest.fixture
def installation(pg_url, ids):
    """How to start a whole server of its own on one PostgreSQL: connections, hub and work."""

    @asynccontextmanager
    async def start(owner, *, hears=True, **choice):
        hub = Hub()
        hub.bind(asyncio.get_running_loop())
        async with SqlDatabase.open(pg_url) as db, AsyncExitStack() as stack:
            if hears:
                with hub.subscribe("anything") as listening:
                    task = asyncio.create_task(db.hear_others(hub))
                    stack.push_async_callback(asyncio.wait, [task])
                    stack.callback(task.cancel)
                    # Once it listens all are woken, whatever they wait for.
                    await listening.wait()
            store = make_stores(db.dialect, lambda: 0).work
            server = await stack.enter_async_context(serving(db, store, hub, ids, owner, **choice))
            server.hub = hub
            yield server

    return start
