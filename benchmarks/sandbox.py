"""A keeper and a driver, as the server has them, and sandboxes of the default size."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from skep.adapters.drivers.oci.driver import OciDriver
from skep.adapters.drivers.oci.keeper import KeeperClient
from skep.kernel.ids import make_id
from skep.kernel.settings import MIB, Settings
from skep.product.sandboxes.model import Command, CommandId, Handle, Isolation, Limits, SandboxId, SandboxSpec
from skep.testing.keeper import RunningKeeper, start_keeper

PATH = {"PATH": "/usr/bin:/bin"}


def new_spec() -> SandboxSpec:
    """Return the specification of a new sandbox, with the limits that a run has by default."""
    usual = Settings.model_construct()
    return SandboxSpec(
        id=SandboxId(make_id("sbx", 0, int.from_bytes(os.urandom(9)))),
        project_id="prj_bench",
        isolation=Isolation.CONTAINER,
        limits=Limits(
            cpus=usual.default_cpus,
            memory_bytes=usual.default_memory_mb * MIB,
            disk_bytes=usual.default_disk_mb * MIB,
            pids=usual.default_pids,
            output_bytes=usual.output_limit_mb * MIB,
        ),
    )


def command(name: str, *argv: str) -> Command:
    """Return a command of the agent's."""
    return Command(id=CommandId(name), argv=argv, env=PATH)


@dataclass(frozen=True, slots=True)
class Ground:
    """What sandboxes are made with."""

    keeper: RunningKeeper
    driver: OciDriver

    def config(self, handle: Handle) -> Path:
        """Return where the OCI configuration of a sandbox lies."""
        return self.keeper.run_dir / "s" / handle.id / "config.json"

    async def answer(self, handle: Handle, what: Command) -> str:
        """Run a command to its end; return what it printed.

        Raises:
            RuntimeError: it failed.
        """
        await self.driver.exec(handle, what)
        said = b"".join([chunk.data async for chunk in self.driver.output(handle, what.id)])
        ended = await self.driver.wait(handle, what.id)
        if ended.code != 0:
            raise RuntimeError(f"{what.argv}: {ended}")
        return said.decode()

    async def cold(self) -> Handle:
        """Make a sandbox and have its first command answered."""
        handle = await self.driver.create(new_spec())
        if await self.answer(handle, command("first", "/bin/echo", "here")) != "here\n":
            raise RuntimeError("the first command answered something else")
        return handle


@asynccontextmanager
async def ground() -> AsyncGenerator[Ground]:
    """Start a keeper on folders of its own, and a driver; remove all that was made."""
    with start_keeper() as keeper:
        driver = OciDriver(KeeperClient(keeper.socket))
        try:
            yield Ground(keeper, driver)
        finally:
            await driver.close()
