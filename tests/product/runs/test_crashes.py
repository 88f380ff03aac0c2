"""A server that is killed at any point goes on, and nothing is lost, twice, or left over."""

import asyncio
import inspect
import shutil
import sys
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skep.adapters.storage.database import SqlDatabase
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.product.runs.jobs import JobExecutor
from skep.product.runs.model import RunStatus
from skep.product.sandboxes.service import SandboxService
from skep.testing.behaviour import Behaviour
from skep.testing.clock import ManualClock
from skep.testing.scripted_driver import ScriptedDriver

TEXT = "A line of output that comes in many pieces.\n" * 2000
FILES = {"/run/skep/output": '{"n": 1}', "/run/skep/artifacts/a.txt": "a", "/run/skep/artifacts/b/c.txt": "bc"}


class KilledError(BaseException):
    """The server is gone from here on."""


class Mine:
    """Kills a server at the n-th point of its life; the dead do nothing any more."""

    def __init__(self, at):
        self.at = at
        self.passed = 0

    def step(self):
        """Pass a point, or die there."""
        self.passed += 1
        if self.passed >= self.at:
            raise KilledError(self.passed)


class Mined:
    """Anything whose verbs have a point before and a point after their effect."""

    def __init__(self, inner, mine, verbs):
        self._inner, self._mine, self._verbs = inner, mine, verbs

    def __getattr__(self, name):
        inner = getattr(self._inner, name)
        if name not in self._verbs:
            return inner
        if inspect.isasyncgenfunction(inner):
            return lambda *a, **k: self._yielding(inner(*a, **k))
        return lambda *a, **k: self._doing(inner, *a, **k)

    async def _doing(self, verb, *args, **more):
        self._mine.step()
        result = await verb(*args, **more)
        self._mine.step()
        return result

    async def _yielding(self, items):
        self._mine.step()
        async for item in items:
            yield item
            self._mine.step()


class CountingDriver(ScriptedDriver):
    """Counts the commands that were really started."""

    executed = 0

    async def exec(self, handle, command):
        """Start the command, and see whether it is new."""
        before = len(self.sandboxes[handle.id].commands) if handle.id in self.sandboxes else 0
        await super().exec(handle, command)
        self.executed += len(self.sandboxes[handle.id].commands) - before


def undermine(world, mine):
    """Put points around every effect of *world*."""
    driver = Mined(world.driver, mine, {"create", "put", "exec", "output", "wait", "inspect", "get", "list", "destroy"})
    world.queue._db = Mined(world.db, mine, {"write"})
    executor = world.executors["job"]
    records = executor._records
    records._db = Mined(world.db, mine, {"write"})
    logs = Mined(world.logs, mine, {"append", "close"})
    blobs = Mined(world.blobs, mine, {"put"})
    asking, hub = world.asking, world.hub
    world.executors["job"] = JobExecutor(records, driver, logs, blobs, world.secrets, world.limits, asking, hub)


async def live(world, at):
    """Let a server live until it dies at its point, or its work is done; return whether it died."""
    mine = Mine(at)
    undermine(world, mine)
    try:
        await world.work_once()
    except KilledError:
        return True
    return False


async def check(world, run):
    """Look at everything that must be so, however often the server died."""
    run = await world.run(run)
    assert run.status is RunStatus.SUCCEEDED
    assert run.attempts == 1
    assert world.driver.executed == 1
    assert run.result == {"n": 1}
    assert await world.stdout(run) == TEXT
    assert [item.path for item in await world.runs.artifacts(world.admin, run.id)] == ["a.txt", "b/c.txt"]
    assert await world.events(run) == [
        "run.queued",
        "attempt.created",
        "attempt.started",
        "attempt.exited",
        "run.succeeded",
    ]
    reconciled = SandboxService(world.db, world.stores.sandboxes, world.driver, "nod_" + "0" * 26)
    await reconciled.reconcile()
    assert world.driver.sandboxes == {}
    assert await world.sandbox_rows() == []
    assert len(await world.blobs.ids()) == 2
    assert await world.claim() is None


async def story(world_type, template, folder, points):
    """Play a run whose server dies at each of *points* in turn; return how many deaths there were."""
    path = folder / "skep.db"
    shutil.copy(template, path)
    clock, hub = ManualClock(), Hub()
    hub.bind(asyncio.get_running_loop())
    deaths = 0
    async with SqlDatabase.open(path) as db:
        world = await world_type(db, clock, IdSource(), hub, folder, driver=CountingDriver(clock)).setup()
        await world.agent(Behaviour(stdout=TEXT, files=FILES))
        run = await world.start()
        for number, at in enumerate([*points, sys.maxsize]):
            world = world.again(owner=f"life-{number}")
            if (await world.run(run)).status.final or not await live(world, at):
                break
            deaths += 1
            await db.write(partial(world.stores.work.release_owner, owners=[world.owner]))
        await check(world, run)
    return deaths


@pytest.mark.timeout(170)
async def test_killed_at_every_point(world_type, sqlite_template, tmp_path_factory):
    """Whatever point the server is killed at, its next life brings the run to the same end."""
    at = 1
    while await story(world_type, sqlite_template, tmp_path_factory.mktemp("kill"), [at]):
        at += 1
    assert at > 30, "all effects have their points"


@settings(max_examples=25, deadline=None)
@given(points=st.lists(st.integers(min_value=1, max_value=30), min_size=2, max_size=5))
def test_killed_again_and_again(points, world_type, sqlite_template, tmp_path_factory):
    """Several lives, each killed at some point, still make one run of it."""
    asyncio.run(story(world_type, sqlite_template, tmp_path_factory.mktemp("kills"), points))
