"""The `oci` driver keeps every promise of the port: the shared suite, on real sandboxes."""

import pytest

from skep.adapters.drivers.oci.keeper import KeeperClient
from skep.testing.driver_conformance import DriverConformance


@pytest.mark.root
class TestOciDriver(DriverConformance):
    """The suite, on runc."""

    @pytest.fixture(autouse=True)
    def _on(self, keeper):
        self.keeper = keeper

    async def crash(self, driver, handle):
        """End the supervisor and all else, behind the driver's back."""
        client = KeeperClient(self.keeper.socket)
        await client.kill(handle.id)
        await client.close()
