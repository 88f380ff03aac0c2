"""A real keeper, and drivers on it."""

import os

import pytest

from skep.adapters.drivers.oci.driver import OciDriver
from skep.adapters.drivers.oci.keeper import KeeperClient
from skep.kernel.ids import make_id
from skep.product.sandboxes.model import Isolation, Limits, SandboxId, SandboxSpec
from skep.testing.keeper import start_keeper

MIB = 1 << 20


@pytest.fixture(scope="module")
def keeper(able):
    """A keeper for all tests of a module."""
    with start_keeper() as running:
        yield running


@pytest.fixture
def new_spec():
    """Return a function that makes specifications of new sandboxes."""

    def new(*, limits=None, **changes):
        usual = {"cpus": 1, "memory_bytes": 128 * MIB, "disk_bytes": 64 * MIB, "pids": 64, "output_bytes": MIB}
        values = {
            "id": SandboxId(make_id("sbx", 0, int.from_bytes(os.urandom(9)))),
            "project_id": "prj",
            "isolation": Isolation.CONTAINER,
            "limits": Limits(**usual | (limits or {})) if limits is None or isinstance(limits, dict) else limits,
            **changes,
        }
        return SandboxSpec(**values)

    return new


@pytest.fixture
async def driver(keeper):
    """A driver on the module's keeper; what the test left is destroyed."""
    if keeper.process.poll() is not None:
        keeper.restart()
    made = OciDriver(KeeperClient(keeper.socket))
    yield made
    if keeper.process.poll() is not None:
        keeper.restart()
    for handle in await made.recover():
        await made.destroy(handle)
    await made.close()
