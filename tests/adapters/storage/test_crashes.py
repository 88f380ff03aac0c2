"""What was acknowledged is there, whatever dies."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.mapper import on
from skep.adapters.storage.stores import make_stores
from skep.kernel.errors import UnavailableError, UnknownOutcomeError
from skep.kernel.paging import PageQuery
from skep.testing import samples
from skep.testing.postgres import Databases, PostgresServer
from skep.testing.wait import until_sync

COMMITTER = Path(__file__).with_name("committer.py")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request):
    """Where a migrated database is."""
    return request.getfixturevalue("sqlite_path" if request.param == "sqlite" else "pg_url")


def commit_until_killed(place, enough):
    """Run the committer until it acknowledged *enough* units, kill it, and return what it acknowledged."""
    child = subprocess.Popen([sys.executable, str(COMMITTER), str(place), "40"], stdout=subprocess.PIPE, text=True)
    try:
        acknowledged = [int(child.stdout.readline()) for _ in range(enough)]
    finally:
        child.kill()
    rest, _ = child.communicate()
    # The last line may be cut off: then it was not acknowledged to anybody.
    return {*acknowledged, *(int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n"))}


async def committed(place):
    """Return the numbers of all units that are in the database."""
    async with SqlDatabase.open(place) as db:
        await db.migrate()
        audit, query, found = make_stores(db.dialect, lambda: 0).audit, PageQuery(limit=500), set()
        while True:
            page = await db.read(lambda tx, query=query: audit.entries(tx, None, query))
            found |= {int(entry.id.removeprefix("aud_")) for entry in page.items}
            if page.next is None:
                return found
            query = replace(query, cursor=page.next)


@pytest.mark.parametrize("enough", [1, 150, 1000])
async def test_a_killed_process_loses_nothing_that_it_acknowledged(place, enough):
    """SIGKILL in the midst of group commits: each acknowledged write is there, and the database opens at once."""
    acknowledged = await asyncio.to_thread(commit_until_killed, place, enough)
    assert len(acknowledged) >= enough
    assert acknowledged - await committed(place) == set()


# ---- a full disk
@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 3 MiB."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":  # noqa: TID251  CI must not pass for want of root
            pytest.fail("mounting a small disk needs root")
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def entry(name, size=0):
    """Return a line of the audit log that takes some space."""
    return replace(samples.AUDIT_ENTRY, id=f"aud_{name}", details={"x": "x" * size})


@pytest.mark.root
async def test_a_full_disk(tiny_disk, clock):
    """Writes are refused, nothing is lost, what still fits goes on, and space makes all good without a restart."""
    audit = make_stores("sqlite", clock.now_ms).audit
    async with SqlDatabase.open(tiny_disk / "skep.db") as db:
        await db.migrate()

        async def write(name, size=0):
            await db.write(lambda tx: audit.append(tx, entry(name, size)))

        async def names():
            page = await db.read(lambda tx: audit.entries(tx, None, PageQuery(limit=500)))
            return {one.id.removeprefix("aud_") for one in page.items}

        await write("first")
        ballast = tiny_disk / "ballast"
        free = os.statvfs(tiny_disk).f_bavail * os.statvfs(tiny_disk).f_bsize
        ballast.write_bytes(bytes(free - 256 * 1024))
        answers = await asyncio.gather(
            *(write(f"{n:03}", 100_000 if n % 2 else 10) for n in range(60)), return_exceptions=True
        )
        refused = {n for n, answer in enumerate(answers) if answer is not None}
        assert refused
        assert {type(answers[n]) for n in refused} == {UnavailableError}
        assert {answers[n].code for n in refused} == {"disk_full"}
        kept = {"first"} | {f"{n:03}" for n in range(60) if n not in refused}
        assert await names() == kept
        ballast.unlink()
        await write("last", 100_000)
        assert await names() == kept | {"last"}


@pytest.mark.root
async def test_one_unit_that_does_not_fit(tiny_disk, clock):
    """A full disk takes the whole batch back; its other members are run again, and only the large one is refused."""
    audit = make_stores("sqlite", clock.now_ms).audit
    async with SqlDatabase.open(tiny_disk / "skep.db") as db:
        await db.migrate()
        sizes = [10] * 10 + [8_000_000] + [10] * 10
        answers = await asyncio.gather(
            *(db.write(lambda tx, n=n, size=size: audit.append(tx, entry(n, size))) for n, size in enumerate(sizes)),
            return_exceptions=True,
        )
        assert [n for n, answer in enumerate(answers) if answer is not None] == [10]
        assert answers[10].code == "disk_full"
        page = await db.read(lambda tx: audit.entries(tx, None, PageQuery(limit=500)))
        assert len(page.items) == 20


# ---- PostgreSQL comes and goes
@pytest.fixture
def own_server():
    """A PostgreSQL that the test may stop."""
    with PostgresServer() as server:
        yield server


async def test_postgresql_stopped_and_started(own_server, clock):
    """While it is away all is refused; when it is back all goes on, on the same object."""
    audit = make_stores("postgresql", clock.now_ms).audit
    databases = Databases(own_server.url)
    with databases.copy() as url:
        async with SqlDatabase.open(url) as db:
            await db.write(lambda tx: audit.append(tx, entry("first")))
            await asyncio.to_thread(own_server.stop)
            for _ in range(2):
                for act in (db.write, db.read):
                    with pytest.raises(UnavailableError) as caught:
                        await act(lambda tx: audit.entries(tx, None, PageQuery()))
                    assert caught.value.code == "database_unavailable"
            refused = await asyncio.gather(
                *(db.write(lambda tx, n=n: audit.append(tx, entry(n))) for n in range(50)), return_exceptions=True
            )
            assert {type(answer) for answer in refused} == {UnavailableError}
            await asyncio.to_thread(own_server.start)
            await db.write(lambda tx: audit.append(tx, entry("last")))
            page = await db.read(lambda tx: audit.entries(tx, None, PageQuery()))
            assert [one.id for one in page.items] == ["aud_last", "aud_first"]


async def test_postgresql_restarted_unnoticed(own_server, clock):
    """Connections that broke while nobody used them are made anew; nobody is told."""
    audit = make_stores("postgresql", clock.now_ms).audit
    with Databases(own_server.url).copy() as url:
        async with SqlDatabase.open(url) as db:
            await db.write(lambda tx: audit.append(tx, entry("first")))
            await db.read(lambda tx: audit.entries(tx, None, PageQuery()))
            await asyncio.to_thread(own_server.stop)
            await asyncio.to_thread(own_server.start)
            await asyncio.gather(*(db.write(lambda tx, n=n: audit.append(tx, entry(n))) for n in range(10)))
            page = await db.read(lambda tx: audit.entries(tx, None, PageQuery()))
            assert len(page.items) == 11


async def test_a_transaction_that_was_idle_for_too_long(pg_url):
    """Its connection is gone like any that breaks: what is read is read again, and a write is refused for now."""
    began = list[int]()

    def dawdle(tx):
        began.append(on(tx).execute(text("SELECT pg_backend_pid()")).scalar_one())
        if len(began) != 2:
            on(tx).execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
            with psycopg.connect(pg_url, autocommit=True) as other:
                alive = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
                until_sync(lambda: other.execute(alive, began[-1:]).fetchone() is None, what="the end of the session")
        return on(tx).execute(text("SELECT 1")).scalar_one()

    async with SqlDatabase.open(pg_url) as db:
        assert await db.read(dawdle) == 1
        assert len(set(began)) == 2
        with pytest.raises(UnavailableError) as refused:
            await db.write(dawdle)
        assert refused.value.code == "database_unavailable"


async def test_a_connection_that_breaks_in_commit(pg_url):
    """Nobody knows what became of the changes: all who shared the commit are told so, and none is made again."""
    ran = list[int]()

    def insert(tx, n):
        ran.append(n)
        on(tx).execute(text("INSERT INTO brittle VALUES (:n)"), {"n": n})

    breaks_in_commit = """
        CREATE TABLE brittle (n int);
        CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON brittle DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION break_off()"""
    async with SqlDatabase.open(pg_url) as db:
        await db.write(lambda tx: on(tx).exec_driver_sql(breaks_in_commit) and None)
        answers = await asyncio.gather(
            *(db.write(lambda tx, n=n: insert(tx, n)) for n in range(10)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {UnknownOutcomeError}
        assert ran == list(range(10))
        assert await db.write(lambda tx: on(tx).execute(text("SELECT count(*) FROM brittle")).scalar_one()) == 0


async def test_servers_that_change_the_same_row(pg_url, clock):
    """Each change sees the one before it: none is lost, as if there were one writer."""
    nodes = make_stores("postgresql", clock.now_ms).nodes
    node = replace(samples.NODE, heartbeat_ms=0)

    def add_one(tx):
        now = nodes.get(tx, node.id)
        nodes.put(tx, replace(now, heartbeat_ms=now.heartbeat_ms + 1))

    async with SqlDatabase.open(pg_url) as one, SqlDatabase.open(pg_url) as two:
        await one.write(lambda tx: nodes.put(tx, node))

        async def change(db):
            for _ in range(20):
                await asyncio.gather(*(db.write(add_one) for _ in range(5)))

        await asyncio.gather(change(one), change(two))
        assert (await one.read(lambda tx: nodes.get(tx, node.id))).heartbeat_ms == 200
