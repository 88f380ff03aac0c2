"""Agents whose machine got another Python or another C library under them."""

import pytest

from skep.kernel.paging import PageQuery
from skep.product.agents.model import AgentChange, NewAgent
from skep.product.agents.redeploy import Redeploy
from skep.product.agents.renewal import Renewal
from skep.product.images.model import BuildStatus, FilesSource

FILES = FilesSource(files={"main.py": ""})


class Base:
    """What the machine's sandboxes stand on."""

    now = ""

    async def base_fingerprint(self):
        """Return it."""
        return self.now


@pytest.fixture
def base():
    """That on which the first builds stand."""
    return Base()


@pytest.fixture
def renewal(db, stores, builds, access, clock, base):
    """What looks for them."""
    redeploy = Redeploy(agents=stores.agents, images=stores.images, builds=builds, access=access, clock=clock)
    return Renewal(db=db, agents=stores.agents, images=stores.images, redeploy=redeploy, driver=base, node_id="nod_1")


async def built(agents, admin, builds, name):
    """Make an agent and build it."""
    await agents.create(admin, NewAgent(name=name, source=FILES))
    await builds.end(await agents.build(admin, name))


async def test_it_is_built_again_once(agents, admin, builds, renewal, base):
    """As soon as the machine has another base; while that build waits, and after it has failed, no other is begun."""
    await built(agents, admin, builds, "bees")
    assert await renewal.renew() == 0
    base.now = "another"

    assert await renewal.renew() == 1
    again = (await agents.get(admin, "bees")).build
    assert again.status is BuildStatus.QUEUED
    assert await renewal.renew() == 0
    await builds.end(again, BuildStatus.FAILED)
    assert await renewal.renew() == 0
    assert (await agents.get(admin, "bees")).version.number == 1


async def test_what_need_not_be_built_again(agents, admin, builds, renewal, base):
    """An agent that was removed, was never built, or whose configuration alone was changed on the new base."""
    await agents.create(admin, NewAgent(name="new", source=FILES))
    await built(agents, admin, builds, "gone")
    await agents.remove(admin, "gone")
    base.now = "another"
    assert await renewal.renew() == 0


async def test_a_change_of_configuration_changes_no_image(agents, admin, builds, renewal, base):
    """The version is another one; what it stands on is not."""
    await built(agents, admin, builds, "bees")
    await agents.change(admin, "bees", AgentChange(env={"A": "b"}))
    assert (await agents.get(admin, "bees")).version.number == 2
    base.now = "another"
    assert await renewal.renew() == 1


async def test_it_is_written_down(agents, admin, access, builds, renewal, base):
    """Nobody asked for it: the audit log says what did."""
    await built(agents, admin, builds, "bees")
    base.now = "another"
    await renewal.renew()
    entry = (await access.audit_log(admin, PageQuery(limit=1))).items[0]
    assert (entry.action, entry.details["base"]) == ("agent.rebuild", "another")
