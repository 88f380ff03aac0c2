"""A machine is the same one after a restart, and only its newest life speaks for it."""

from pathlib import Path

import pytest

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import make_stores
from skep.kernel.clock import SystemClock
from skep.kernel.errors import FencedError
from skep.kernel.ids import IdSource
from skep.product.nodes.service import NodeService


@pytest.fixture
async def make_nodes(tmp_path: Path):
    """Makes a node service, as each start of a server does."""
    async with SqlDatabase.open(tmp_path / "skep.db") as db:
        await db.migrate()
        stores = make_stores(db.dialect, lambda: 0)
        yield lambda: NodeService(db, stores.nodes, SystemClock(), IdSource())


async def test_the_first_start_has_no_previous_life(make_nodes):
    """A new machine gets a row; nothing was before."""
    started = await make_nodes().start("box", "boot-1")

    assert started.previous is None
    assert not started.rebooted


async def test_a_restart_of_the_server_is_no_restart_of_the_machine(make_nodes):
    """The node stays, its life is new, and the boot id tells the two restarts apart."""
    first = await make_nodes().start("box", "boot-1")
    second = await make_nodes().start("box", "boot-1")
    third = await make_nodes().start("box", "boot-2")

    assert first.node.id == second.node.id == third.node.id
    assert second.previous == first.node
    assert len({started.node.incarnation for started in (first, second, third)}) == 3
    assert (second.rebooted, third.rebooted) == (False, True)


async def test_an_older_life_is_fenced(make_nodes):
    """A server whose place was taken learns it at its next heartbeat."""
    old, new = make_nodes(), make_nodes()
    await old.start("box", "boot-1")
    await old.heartbeat()
    await new.start("box", "boot-1")

    await new.heartbeat()
    with pytest.raises(FencedError):
        await old.heartbeat()


async def test_a_life_that_was_not_begun_cannot_go_on(make_nodes):
    """There is no heartbeat before the start."""
    with pytest.raises(FencedError):
        await make_nodes().heartbeat()
