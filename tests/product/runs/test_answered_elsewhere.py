"""Two servers on one PostgreSQL: one executes the run that waits, and the answer is given to the other."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from asking import asked, question_of, started, status

from skep.adapters.storage.database import SqlDatabase
from skep.kernel.events import Hub
from skep.product.runs.model import RunStatus
from skep.product.sandboxes.model import CommandId
from skep.product.work.model import WorkLimits


@pytest.fixture
def server(pg_url, clock, ids, tmp_path, world_type):
    """How to start a server of its own on the database: connections, a hub that hears the others', and services."""

    @asynccontextmanager
    async def start(owner, **more):
        hub = Hub()
        hub.bind(asyncio.get_running_loop())
        async with SqlDatabase.open(pg_url) as db:
            with hub.subscribe("anything") as listening:
                hearing = asyncio.create_task(db.hear_others(hub))
                await listening.wait()  # once it listens all are woken
            folder = tmp_path / owner
            folder.mkdir()
            try:
                yield world_type(db, clock, ids, hub, folder, owner=owner, **more)
            finally:
                hearing.cancel()
                await asyncio.wait({hearing})

    return start


async def test_an_answer_reaches_the_server_that_executes_the_run(server):
    """At once; the run has given back its place meanwhile, and has it again as soon as it is answered."""
    limits = WorkLimits(resting=1)
    async with asyncio.timeout(60), server("one", work_limits=limits) as one, server("two") as two:
        await one.setup()
        two.admin = one.admin
        async with one.working():
            run, attempt, sandbox = await started(one)

            async def resting():
                return await two.db.read(lambda tx: two.stores.work.resting(tx, "one"))

            assert await resting() == frozenset()
            async with asked(sandbox, "Which?") as waiting:
                await status(one, run, RunStatus.WAITING)
                assert len(await resting()) == 1
                assert (await question_of(two, run)).text == "Which?"

                assert (await two.answers.answer(two.admin, run.id, "b")).status is RunStatus.RUNNING

                assert await resting() == frozenset()
                assert await waiting == (200, {"answer": "b"})
            one.driver.finish(CommandId(attempt.id))
            assert (await one.ended(run)).status is RunStatus.SUCCEEDED
