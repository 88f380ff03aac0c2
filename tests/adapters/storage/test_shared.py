"""The units of one commit share statements; what that means for each is in the conformance suite."""

import asyncio

from sqlalchemy import event

from skep.adapters.storage.stores import make_stores
from skep.testing.work_desk import lease_of, work

MANY = 40


async def test_ends_that_share_a_commit_share_a_statement(db, clock):
    """Checks and ends of forty leases by forty callers are one statement, not eighty."""
    store = make_stores(db.dialect, clock.now_ms).work
    said = []

    def finish(tx, lease):
        store.check(tx, lease)
        store.finish(tx, lease)

    for n in range(MANY):
        await db.write(lambda tx, n=n: store.enqueue(tx, work(n)))
    choice = {"kinds": ["run"], "owner": "inc_1", "node_id": "", "key_limits": {}, "default_key_limits": {}}
    held = await db.write(lambda tx: store.claim(tx, lease_ms=60_000, most=MANY, **choice))
    loop, begun, hold = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tx):
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(hold.wait(), loop).result()

    # While the writer is busy all others come to wait for the next commit.
    busy = asyncio.create_task(db.write(wait))
    await begun.wait()
    event.listen(db._write_engine, "before_cursor_execute", lambda *call: said.append(call[2]))
    ends = [asyncio.create_task(db.write(lambda tx, item=item: finish(tx, lease_of(item)))) for item in held]
    await asyncio.sleep(0)
    hold.set()
    await asyncio.gather(busy, *ends)
    assert await db.read(store.counts) == {"done": MANY}
    assert [statement for statement in said if not statement.startswith("BEGIN")] == said[-1:]
