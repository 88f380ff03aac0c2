"""On PostgreSQL the units of one commit share statements; what that means for each is in the conformance suite."""

import asyncio

import pytest
from sqlalchemy import event

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import make_stores
from skep.testing.work_conformance import lease_of, work

MANY = 40


@pytest.fixture
async def db(pg_url):
    """A fresh PostgreSQL database."""
    async with SqlDatabase.open(pg_url) as database:
        yield database


async def test_ends_that_share_a_commit_share_a_statement(db, clock):
    """Checks and ends of forty leases by forty callers are a few statements, not eighty."""
    store = make_stores("postgresql", clock.now_ms).work
    said = []

    def finish(tx, lease):
        store.check(tx, lease)
        store.finish(tx, lease)

    for n in range(MANY):
        await db.write(lambda tx, n=n: store.enqueue(tx, work(n)))
    choice = {"kinds": ["run"], "owner": "inc_1", "node_id": "", "key_limits": {}, "default_key_limits": {}}
    held = await db.write(lambda tx: store.claim(tx, lease_ms=60_000, most=MANY, **choice))
    event.listen(db._write_engine, "before_cursor_execute", lambda *call: said.append(call[2]))
    await asyncio.gather(*(db.write(lambda tx, item=item: finish(tx, lease_of(item))) for item in held))
    assert await db.read(store.counts) == {"done": MANY}
    # The first may be alone in its commit, with two statements of its own; the rest wait for that and come together.
    assert len(said) <= MANY // 4, said
