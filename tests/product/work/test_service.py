"""Work is done, in spite of all."""

import asyncio
import logging

from skep.kernel.errors import FencedError
from skep.product.work.model import NewWork, WorkLimits, WorkState, WorkTiming

SLOW = WorkTiming(lease_s=60, beat_s=60, poll_s=60)


async def test_work_is_done_as_soon_as_it_is_committed(serve):
    """A committed piece of work wakes the server; no poll is waited for."""
    async with asyncio.timeout(10), serve(timing=SLOW) as server:
        work = await server.add(1)
        assert (await server.puppet.begun.get()).ref == "run_1"
        await server.until(work, WorkState.DONE)


async def test_work_that_nobody_called_out_is_found(serve, db, store):
    """What another server enqueued is found by looking."""
    async with asyncio.timeout(10), serve() as server:
        work = NewWork(id=server.service.new_id(), kind="run", ref="run_9", project_id="prj_1")
        await db.write(lambda tx: store.enqueue(tx, work))
        assert (await server.puppet.begun.get()).ref == "run_9"


async def test_no_more_at_once_than_the_limit(serve):
    """An end makes room for the next, at once."""
    async with asyncio.timeout(10), serve(limits=WorkLimits(total=2), timing=SLOW) as server:
        doors = [asyncio.Event() for _ in range(3)]

        async def act(item, lease):
            await doors[int(item.ref[-1])].wait()
            await server.puppet.finish(item, lease)

        server.puppet.act = act
        works = [await server.add(n) for n in range(3)]
        begun = [(await server.puppet.begun.get()).ref for _ in range(2)]
        assert begun == ["run_0", "run_1"]
        assert (await server.item(works[2])).state is WorkState.QUEUED
        assert server.service.holding == 2
        doors[1].set()
        assert (await server.puppet.begun.get()).ref == "run_2"
        for door in doors:
            door.set()
        await server.until(works[0], WorkState.DONE)


async def test_a_cancel_reaches_the_handler_once(serve, db):
    """At once, not with the next heartbeat; asking again changes nothing."""
    timing = WorkTiming(lease_s=60, beat_s=0.05, poll_s=60)
    async with asyncio.timeout(10), serve(timing=timing) as server:
        server.puppet.act = server.puppet.hang
        await server.add(1)
        await server.puppet.begun.get()
        for _ in range(2):
            assert await db.write(lambda tx: server.service.request_cancel(tx, "run", "run_1"))
        assert (await server.puppet.cancels.get()).ref == "run_1"
        await server.add(2)
        await server.puppet.begun.get()
        assert await db.write(lambda tx: server.service.request_cancel(tx, "run", "run_2"))
        assert (await server.puppet.cancels.get()).ref == "run_2"
        assert server.puppet.cancels.empty()


async def test_a_cancel_does_not_wait_for_a_heartbeat(serve, db):
    """The wake-up alone is enough."""
    async with asyncio.timeout(10), serve(timing=SLOW) as server:
        server.puppet.act = server.puppet.hang
        await server.add(1)
        await server.puppet.begun.get()
        await db.write(lambda tx: server.service.request_cancel(tx, "run", "run_1"))
        assert (await server.puppet.cancels.get()).ref == "run_1"


async def test_a_handlers_error_is_logged_and_tried_again(serve, caplog):
    """With the traceback; the next attempt knows the error."""
    async with asyncio.timeout(10), serve() as server:

        async def act(item, lease):
            if item.attempts == 1:
                raise ValueError("boom")
            await server.puppet.finish(item, lease)

        server.puppet.act = act
        with caplog.at_level(logging.ERROR, "skep.product.work"):
            work = await server.add(1)
            item = await server.until(work, WorkState.DONE)
    assert (item.attempts, item.last_error) == (2, "ValueError: boom")
    assert "boom" in caplog.text
    assert "Traceback" in caplog.text


async def test_work_that_always_fails_is_given_up(serve):
    """The handler is told in the transaction that makes it so, and once more after its commit."""
    async with asyncio.timeout(10), serve() as server:

        async def act(item, lease):
            raise ValueError("boom")

        server.puppet.act = act
        work = await server.add(1, max_attempts=2)
        await server.until(work, WorkState.DEAD)
        assert server.puppet.given == [("run_1", "ValueError: boom")]
        assert (await server.puppet.gave.get()).ref == "run_1"


async def test_a_handler_that_forgets_to_finish_is_an_error(serve):
    """The item is not left hanging until its lease is over."""
    async with asyncio.timeout(10), serve() as server:

        async def act(item, lease):
            if item.attempts > 1:
                await server.puppet.finish(item, lease)

        server.puppet.act = act
        work = await server.add(1)
        item = await server.until(work, WorkState.DONE)
        assert "without finishing" in item.last_error


async def test_leases_are_renewed_while_work_goes_on(serve):
    """Nobody takes over what takes longer than a lease."""
    async with asyncio.timeout(20), serve() as server, serve("inc_2") as other:
        server.puppet.act = other.puppet.act = server.puppet.hang
        work = await server.add(1)
        done, _ = await asyncio.wait(
            [asyncio.create_task(one.puppet.begun.get()) for one in (server, other)],
            return_when=asyncio.FIRST_COMPLETED,
        )
        # Two whole leases later it still is the same claim.
        item = await server.until_renewed(work, 1200)
        assert len(done) == 1
        assert (item.fence, item.attempts) == (1, 1)


async def test_a_lost_lease_ends_the_task(serve, db, store):
    """Its holder is stopped and writes nothing; the new one finishes."""
    async with asyncio.timeout(10), serve() as server:
        server.puppet.act = server.puppet.hang
        work = await server.add(1)
        await server.puppet.begun.get()
        server.puppet.act = server.puppet.finish
        await db.write(lambda tx: store.release_owner(tx, ["inc_1"]))
        assert (await server.puppet.stopped.get()).fence == 1
        item = await server.until(work, WorkState.DONE)
        assert (item.fence, item.last_error) == (2, "")


async def test_what_follows_the_last_word_is_left_in_peace(serve):
    """A handler that cleans up after its final commit is not taken for one that lost its lease."""
    async with asyncio.timeout(10), serve() as server:
        beats = asyncio.Event()
        cleaned = asyncio.Event()

        async def act(item, lease):
            await server.puppet.finish(item, lease)
            await beats.wait()
            cleaned.set()

        server.puppet.act = act
        work = await server.add(1)
        await server.until(work, WorkState.DONE)
        # A second item's renewed lease shows that hearts went on beating meanwhile.
        server.puppet.act = server.puppet.hang
        other = await server.add(2)
        await server.until(other, WorkState.LEASED)
        await server.until_renewed(other, 300)
        assert server.puppet.stopped.empty()
        beats.set()
        await cleaned.wait()


async def test_a_stop_leaves_the_leases(serve, db, store):
    """The next life releases them, and goes on where the last one stopped."""
    async with asyncio.timeout(10):
        async with serve() as server:
            server.puppet.act = server.puppet.hang
            work = await server.add(1)
            await server.puppet.begun.get()
        assert (await server.puppet.stopped.get()).ref == "run_1"
        assert (await server.item(work)).state is WorkState.LEASED
        assert await db.write(lambda tx: store.release_owner(tx, ["inc_1"])) == 1
        async with serve("inc_2") as next_life:
            item = await next_life.until(work, WorkState.DONE)
    assert (item.attempts, item.fence) == (2, 2)


async def test_a_fenced_handler_is_dropped_silently(serve, caplog):
    """It is nobody's error: somebody else does the work."""
    async with asyncio.timeout(10), serve() as server:

        async def act(item, lease):
            if item.attempts == 1:
                await server.db.write(lambda tx: server.store.release_owner(tx, ["inc_1"]))
                raise FencedError("gone")
            await server.puppet.finish(item, lease)

        server.puppet.act = act
        with caplog.at_level(logging.WARNING):
            work = await server.add(1)
            item = await server.until(work, WorkState.DONE)
    assert item.last_error == ""
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_many_servers_share_the_work(serve):
    """Each piece is done once, by one of them."""
    async with asyncio.timeout(60):
        async with serve("inc_1") as one, serve("inc_2") as two, serve("inc_3") as three:
            works = [await one.add(n, project_id=f"prj_{n % 4}") for n in range(60)]
            for work in works:
                await one.until(work, WorkState.DONE)
        begun = [puppet.begun.qsize() for puppet in (one.puppet, two.puppet, three.puppet)]
    assert sum(begun) == len(works)
