"""The `oci` driver keeps the contract of all drivers, on real sandboxes."""

import os
import signal
from pathlib import Path

import pytest

from skep.testing.driver_conformance import DriverConformance
from skep.testing.wait import until


@pytest.mark.root
class TestOciDriver(DriverConformance):
    """The conformance suite."""

    @pytest.fixture(autouse=True)
    def _keep_keeper(self, keeper):
        self.keeper = keeper

    async def crash(self, driver, handle):
        """Kill process 1 from the host, and with it everything in the sandbox."""
        os.kill(self.process_1(handle), signal.SIGKILL)

        async def dead():
            return not (await driver.inspect(handle)).alive

        await until(dead, what="the keeper to see the death")

    def process_1(self, handle):
        """Find it by the sandbox's id on its command line."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"/opt/skep/supervisor" in words and f'"{handle.id}"'.encode() in words:
                return int(folder.name)
        raise AssertionError(f"{handle.id} has no process 1")
