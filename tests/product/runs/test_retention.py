"""Runs are kept so many days, then everything of them goes."""

import pytest

from skep.kernel.errors import NotFoundError
from skep.product.blobs.model import Released
from skep.product.blobs.sweep import Files
from skep.product.runs.model import AttemptPhase
from skep.product.runs.retention import RunRetention
from skep.testing.behaviour import FOREVER, Behaviour

DAY_S = 86_400


class Torn(Files):
    """Files whose deletion a crash prevents."""

    async def delete(self, released: Released) -> None:
        """Die."""
        raise SystemError


@pytest.fixture
def retention_of():
    """Makes the retention of a world, of one day."""

    def make(world, files=Files) -> RunRetention:
        files = files(logs=world.logs, blobs=world.blobs)
        return RunRetention(world.db, world.stores.runs, files, world.clock, keep_ms=DAY_S * 1000)

    return make


async def _ended(world, name, **behaviour):
    await world.agent(Behaviour(stdout="hello", files={"/run/skep/artifacts/a": "x"}, **behaviour), name=name)
    run = await world.start(name)
    async with world.working():
        return await world.ended(run)


async def test_what_ended_long_ago_goes_whole(world, retention_of):
    """Row, output and artifacts; a run that ended lately, and one that goes on, keep all of theirs."""
    old = await _ended(world, "old")
    (artifact,) = await world.runs.artifacts(world.admin, old.id)
    (attempt,) = await world.attempts(old)
    world.clock.advance(DAY_S / 2)
    young = await _ended(world, "young")
    await world.agent(Behaviour(run_for_s=FOREVER), name="going")
    going = await world.start("going")
    async with world.working():
        await world.phase(going, AttemptPhase.STARTED)
    assert await retention_of(world).prune() == 0

    world.clock.advance(DAY_S / 2 + 60)
    assert await retention_of(world).prune() == 1

    with pytest.raises(NotFoundError):
        await world.run(old)
    assert attempt.log_id not in await world.logs.ids()
    assert artifact.blob_id not in await world.blobs.ids()
    assert await world.stdout(young) == "hello"
    assert [a.path for a in await world.runs.artifacts(world.admin, young.id)] == ["a"]
    assert (await world.run(going)).id == going.id


async def test_more_than_a_batch(world, retention_of):
    """All that is due goes in one call, however many that are."""
    await world.agent()
    runs = [await world.start() for _ in range(103)]
    for run in runs:
        await world.runs.cancel(world.admin, run.id)
    world.clock.advance(2 * DAY_S)
    assert await retention_of(world).prune() == len(runs)


async def test_a_crash_between_rows_and_files(world, retention_of):
    """The rows are gone first: nobody is shown a run whose output is not there; the files are orphans."""
    run = await _ended(world, "bees")
    world.clock.advance(2 * DAY_S)
    with pytest.raises(SystemError):
        await retention_of(world, Torn).prune()
    with pytest.raises(NotFoundError):
        await world.run(run)
    assert (len(await world.logs.ids()), len(await world.blobs.ids())) == (1, 1)
    assert await retention_of(world).prune() == 0
