"""Work that rests gives back its place in its server, and is taken up again whatever else goes on."""

import asyncio

from skep.product.work.model import Lease, WorkLimits, WorkTiming
from skep.testing.wait import until

#: Nothing is found by looking, and no lease ends.
NEVER = WorkTiming(lease_s=7_200, beat_s=3_600, poll_s=3_600)
ONE = WorkLimits(total=1, resting=1, keys={"runs": 1})
RUNS = ("runs",)


async def rested(server):
    """Let the next piece of work begin, and rest; return it and whether it could."""
    item = await server.puppet.begun.get()
    lease = Lease(work_id=item.id, fence=item.fence, owner=item.owner)
    return item, await server.db.write(lambda tx: server.service.rest(tx, lease))


async def test_what_rests_makes_room_at_once(serve, store):
    """Under the key, and in the server's own total; nobody has to look for it."""
    async with asyncio.timeout(10), serve(limits=ONE, timing=NEVER) as server:
        server.puppet.act = server.puppet.hang
        for number in (1, 2, 3):
            await server.add(number, keys=RUNS)
        first, could = await rested(server)
        assert could
        assert (await server.puppet.begun.get()).ref == "run_2"
        assert server.service.holding == 2
        await server.db.write(lambda tx: store.go_on(tx, first.id))
        assert server.puppet.begun.empty()


async def test_no_more_rest_than_may(serve):
    """Who comes too late keeps its place: nothing else is begun."""
    async with asyncio.timeout(10), serve(limits=ONE, timing=NEVER) as server:
        server.puppet.act = server.puppet.hang
        for number in (1, 2, 3):
            await server.add(number, keys=RUNS)
        assert [(item.ref, could) for item, could in [await rested(server), await rested(server)]] == [
            ("run_1", True),
            ("run_2", False),
        ]
        assert server.service.holding == 2
        assert server.puppet.begun.empty()


async def test_what_rested_is_taken_up_by_a_full_server(serve, store, db):
    """It needs no room; and when it goes on while the other does, too, only new work waits."""
    async with asyncio.timeout(20):
        async with serve(limits=ONE, timing=NEVER) as server:
            server.puppet.act = server.puppet.hang
            await server.add(1, keys=RUNS)
            await server.add(2, keys=RUNS)
            first, _ = await rested(server)
            await server.puppet.begun.get()
        async with serve("inc_2", limits=ONE) as server:
            server.puppet.act = server.puppet.hang
            await server.add(3)
            assert (await server.puppet.begun.get()).ref == "run_3"
            await db.write(lambda tx: store.release_owner(tx, ["inc_1"]))
            again = await server.puppet.begun.get()
            assert (again.id, again.fence) == (first.id, 2)
            await db.write(lambda tx: store.go_on(tx, first.id))
            assert server.puppet.begun.empty()
            assert server.service.holding == 2


async def test_leases_are_renewed_while_it_rests(serve, db, store):
    """Nobody takes over what rests longer than a lease."""
    async with asyncio.timeout(20), serve(limits=ONE) as server, serve("inc_2", limits=ONE) as other:
        server.puppet.act = other.puppet.act = server.puppet.hang
        work = await server.add(1)
        begun = [asyncio.create_task(one.puppet.begun.get()) for one in (server, other)]
        done, _ = await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
        item = done.pop().result()
        lease = Lease(work_id=item.id, fence=item.fence, owner=item.owner)
        await db.write(lambda tx: store.rest(tx, lease))
        assert (await server.until_renewed(work, 1200)).fence == 1


async def test_a_server_without_room_for_any_takes_none(serve, store, db):
    """One that is to do no work at all does not take up what rests, either."""
    async with asyncio.timeout(20), serve(limits=WorkLimits(total=0)) as idle:
        async with serve("inc_2", limits=ONE) as server:
            server.puppet.act = server.puppet.hang
            work = await server.add(1)
            await rested(server)
        await db.write(lambda tx: store.release_owner(tx, ["inc_2"]))
        async with serve("inc_3", limits=ONE) as server:
            server.puppet.act = server.puppet.hang

            async def taken():
                return (await server.item(work)).owner == "inc_3"

            await until(taken, what="the other server to take it up")
        assert idle.puppet.begun.empty()
