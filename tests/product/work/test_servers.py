"""Several servers on one PostgreSQL: they share the work, and hear of each other at once."""

import asyncio
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from skep.adapters.storage.callouts import LISTENER
from skep.kernel.errors import NotFoundError
from skep.product.work.model import WorkLimits, WorkState, WorkTiming
from skep.testing.postgres import with_database

#: Nothing is found by looking, and no lease ends: whatever happens was called out.
NEVER = WorkTiming(lease_s=7_200, beat_s=3_600, poll_s=3_600)
NO_WORK = WorkLimits(total=0)


@pytest.fixture
def operator(pg_url):
    """A connection beside the servers', to another database: this one can be closed to newcomers."""
    with psycopg.connect(with_database(pg_url, "postgres"), autocommit=True) as connection:
        yield connection


@pytest.fixture
def name(pg_url):
    """The database's name."""
    return conninfo_to_dict(pg_url)["dbname"]


@pytest.fixture
def pair(installation):
    """How to start two servers, the second of which does no work itself."""

    @asynccontextmanager
    async def start(**choice):
        async with installation("inc_1", **choice) as one, installation("inc_2", **choice, limits=NO_WORK) as two:
            yield one, two

    return start


def end_listeners(operator, name):
    """End the connections that listen; return how many these were."""
    ended = operator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = %s",
        (name, LISTENER),
    )
    return len(ended.fetchall())


def let_in(operator, name, yes):
    """Say whether new connections to the database can be made."""
    operator.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.Literal(yes)))


async def ask_for_cancel(server, ref):
    """Ask for a cancel of the work on *ref* by way of *server*."""
    assert await server.db.write(lambda tx: server.service.request_cancel(tx, "run", ref))


async def test_work_is_begun_by_another_server_at_once(pair):
    """It need not look: the commit calls it out."""
    async with asyncio.timeout(20), pair(timing=NEVER) as (one, two):
        work = await two.add(1)
        assert (await one.puppet.begun.get()).id == work.id
        await one.until(work, WorkState.DONE)


async def test_a_cancel_reaches_the_server_that_works(pair):
    """At once, whichever server it was asked of."""
    async with asyncio.timeout(20), pair(timing=NEVER) as (one, two):
        one.puppet.act = one.puppet.hang
        await one.add(1)
        await one.puppet.begun.get()
        await ask_for_cancel(two, "run_1")
        assert (await one.puppet.cancels.get()).ref == "run_1"


async def test_a_cancel_is_found_without_being_heard(pair):
    """Servers that hear nothing of each other look now and then."""
    async with asyncio.timeout(20), pair(hears=False) as (one, two):
        one.puppet.act = one.puppet.hang
        await two.add(1)
        await one.puppet.begun.get()
        await ask_for_cancel(two, "run_1")
        assert (await one.puppet.cancels.get()).ref == "run_1"


async def test_a_lost_connection_is_made_again(pair, operator, name):
    """What is called out afterwards is heard as before."""
    async with asyncio.timeout(20), pair(timing=NEVER) as (one, two):
        with one.hub.subscribe("anything") as again:
            assert end_listeners(operator, name) == 2
            await again.wait()
        one.puppet.act = one.puppet.hang
        await two.add(1)
        await one.puppet.begun.get()
        await ask_for_cancel(two, "run_1")
        assert (await one.puppet.cancels.get()).ref == "run_1"


async def test_what_was_not_heard_is_looked_for(pair, operator, name):
    """Whoever listens again looks for what was called out while nobody listened."""
    async with asyncio.timeout(20), pair(timing=NEVER) as (one, two):
        one.puppet.act = one.puppet.hang
        await two.add(1)
        await one.puppet.begun.get()
        let_in(operator, name, False)
        try:
            assert end_listeners(operator, name) == 2
            await ask_for_cancel(two, "run_1")
        finally:
            let_in(operator, name, True)
        assert (await one.puppet.cancels.get()).ref == "run_1"


async def test_only_what_is_committed_is_called_out(pair):
    """To the others once each, and not back to who said it."""
    async with asyncio.timeout(20), pair(timing=NEVER) as (one, two):

        def failing(tx):
            one.hub.announce(one.db, tx, "failed")
            raise NotFoundError("no such thing")

        with two.hub.subscribe("failed") as failed, two.hub.subscribe("done") as done:
            with pytest.raises(NotFoundError):
                await one.db.write(failing)
            with one.hub.subscribe("done") as own:
                await one.db.write(lambda tx: one.hub.announce(one.db, tx, "done"))
                await asyncio.gather(done.wait(), own.wait())
                own.clear()
                # What comes after it on the same way shows that nothing else came.
                with one.hub.subscribe("answer") as answer:
                    await two.db.write(lambda tx: two.hub.announce(two.db, tx, "answer"))
                    await answer.wait()
                assert not own.is_set()
            assert not failed.is_set()


async def test_servers_keep_limits_together(installation):
    """However they race for it, each piece is done once, and never more at once than the key allows."""
    limits = WorkLimits(total=8, key_defaults={"agent": 3})
    going: dict[str, int] = {"agent:0": 0, "agent:1": 0}
    most = dict(going)
    async with asyncio.timeout(120):
        async with installation("inc_1", limits=limits) as one, installation("inc_2", limits=limits) as two:

            def acting(server):
                async def act(item, lease):
                    key = f"agent:{int(item.ref[4:]) % 2}"
                    going[key] += 1
                    most[key] = max(most[key], going[key])
                    # A journey through the database: others get their turn.
                    await server.item(item)
                    going[key] -= 1
                    await server.puppet.finish(item, lease)

                return act

            for server in (one, two):
                server.puppet.act = acting(server)
            works = await asyncio.gather(
                *((one, two)[n % 2].add(n, keys=(f"agent:{n % 2}",), project_id=f"prj_{n % 3}") for n in range(80))
            )
            for work in works:
                item = await one.until(work, WorkState.DONE)
                assert (item.attempts, item.errors) == (1, 0)
    assert sum(server.puppet.begun.qsize() for server in (one, two)) == len(works)
    assert max(most.values()) == 3
