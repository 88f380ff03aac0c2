"""Units of work: all or nothing each, and an answer only after the commit."""

import asyncio
from dataclasses import replace

import pytest

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import make_stores
from skep.kernel.errors import ConflictError, NotFoundError, SkepError, UnavailableError
from skep.kernel.paging import PageQuery
from skep.testing import samples


def project(n):
    """Return the project number *n*."""
    return replace(samples.PROJECT, id=f"prj_{n:05}", name=f"p{n}")


async def names(db, stores):
    """Return the names of all projects."""
    page = await db.read(lambda tx: stores.access.projects(tx, PageQuery(limit=500)))
    return [found.name for found in page.items]


async def test_a_write_is_seen_by_the_next_read(db, stores):
    """What a unit returned is the answer, and what it wrote is there."""

    def work(tx):
        stores.access.insert_project(tx, project(1))
        return "answer"

    assert await db.write(work) == "answer"
    assert await names(db, stores) == ["p1"]


async def test_a_failing_unit_takes_back_all_of_itself(db, stores):
    """Whatever it raises comes to the caller as it is."""

    def work(tx):
        stores.access.insert_project(tx, project(1))
        raise NotFoundError("no such thing")

    with pytest.raises(NotFoundError):
        await db.write(work)
    assert await names(db, stores) == []


async def test_a_failing_unit_leaves_its_neighbours_alone(db, stores):
    """Of many units that share commits, only those fail that must."""
    await db.write(lambda tx: stores.access.insert_project(tx, project(0)))

    def work(n):
        def unit(tx):
            stores.access.insert_project(tx, project(n))
            if n % 10 == 1:
                raise NotFoundError("no such thing")
            if n % 10 == 2:
                stores.access.insert_project(tx, replace(project(n), id=f"prj_x{n}", name="p0"))

        return unit

    answers = await asyncio.gather(*(db.write(work(n)) for n in range(1, 201)), return_exceptions=True)
    kinds = {type(answer) for answer in answers}
    assert kinds == {type(None), NotFoundError, ConflictError}
    good = [n for n in range(201) if n % 10 not in (1, 2)]
    assert await names(db, stores) == [f"p{n}" for n in good]


async def test_actions_follow_the_commit(db, stores):
    """They see what was committed; those of a unit that failed are never called."""
    loop = asyncio.get_running_loop()
    called: asyncio.Queue[str] = asyncio.Queue()

    def work(name, error=None):
        def unit(tx):
            db.after_commit(tx, lambda: loop.call_soon_threadsafe(called.put_nowait, name))
            if error:
                raise error

        return unit

    await asyncio.gather(
        db.write(work("a")), db.write(work("b", NotFoundError("no"))), db.write(work("c")), return_exceptions=True
    )
    await db.write(work("end"))
    seen = []
    while (name := await called.get()) != "end":
        seen.append(name)
    assert sorted(seen) == ["a", "c"]


async def test_a_broken_action_breaks_nothing(db, stores):
    """The unit is committed, and the next one too."""

    def work(tx):
        db.after_commit(tx, lambda: 1 // 0)
        stores.access.insert_project(tx, project(1))

    await db.write(work)
    assert await names(db, stores) == ["p1"]


async def test_a_reader_cannot_write(db, stores):
    """Neither rows nor promises to act after a commit."""
    with pytest.raises(SkepError):
        await db.read(lambda tx: stores.access.insert_project(tx, project(1)))
    with pytest.raises(RuntimeError):
        await db.read(lambda tx: db.after_commit(tx, print))
    assert await names(db, stores) == []


async def test_a_read_sees_one_moment(db, stores):
    """A write that is committed meanwhile does not show halfway through."""
    loop = asyncio.get_running_loop()

    def count(tx):
        return len(stores.access.projects(tx, PageQuery()).items)

    def work(tx):
        before = count(tx)
        asyncio.run_coroutine_threadsafe(
            db.write(lambda tx: stores.access.insert_project(tx, project(1))), loop
        ).result()
        return before, count(tx)

    assert await db.read(work) == (0, 0)
    assert await db.read(count) == 1


async def test_a_unit_given_up_before_its_turn_is_not_run(db, stores):
    """A caller who is cancelled while others are being served leaves nothing behind."""
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()
    hold = asyncio.Event()

    def slow(tx):
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(hold.wait(), loop).result()

    first = asyncio.create_task(db.write(slow))
    await begun.wait()
    second = asyncio.create_task(db.write(lambda tx: stores.access.insert_project(tx, project(1))))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    hold.set()
    await first
    assert await names(db, stores) == []


async def test_closing_serves_what_waits(sqlite_path, clock):
    """Units that were accepted are committed; later ones are refused."""
    stores = make_stores("sqlite", clock.now_ms)
    async with SqlDatabase.open(sqlite_path) as first:
        await asyncio.gather(
            *(first.write(lambda tx, n=n: stores.access.insert_project(tx, project(n))) for n in range(20))
        )
    async with SqlDatabase.open(sqlite_path) as second:
        assert len((await second.read(lambda tx: stores.access.projects(tx, PageQuery()))).items) == 20
    with pytest.raises(UnavailableError):
        await first.write(lambda tx: None)


async def test_no_database_at_all(tmp_path):
    """A place that cannot be is said to be unavailable, not a crash."""
    for place in (tmp_path / "no" / "folder" / "skep.db", f"postgresql://x@/x?host={tmp_path}"):
        async with SqlDatabase.open(place) as db:
            for act in (db.migrate, lambda db=db: db.write(lambda tx: None), lambda db=db: db.read(lambda tx: None)):
                with pytest.raises(UnavailableError) as caught:
                    await act()
                assert caught.value.code == "database_unavailable"
