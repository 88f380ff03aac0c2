"""The scripted driver keeps the contract of all drivers, and does what its scripts say."""

import asyncio
import itertools

import pytest

from skep.kernel.errors import UnavailableError
from skep.product.sandboxes.model import (
    Command,
    CommandId,
    ExitReason,
    Isolation,
    LayerId,
    Limits,
    SandboxId,
    SandboxSpec,
)
from skep.testing.behaviour import FOREVER, Behaviour, read_script, scripted
from skep.testing.driver_conformance import DriverConformance
from skep.testing.driver_tools import refused
from skep.testing.scripted_driver import ScriptedDriver

MIB = 1 << 20


@pytest.fixture
def driver(clock):
    """A driver without sandboxes."""
    return ScriptedDriver(clock)


@pytest.fixture
def new_spec():
    """Makes specs."""
    numbers = itertools.count(1)

    def make():
        limits = Limits(cpus=1, memory_bytes=128 * MIB, disk_bytes=64 * MIB, pids=64, output_bytes=MIB)
        return SandboxSpec(
            id=SandboxId(f"sbx_{next(numbers)}"), project_id="prj_1", isolation=Isolation.CONTAINER, limits=limits
        )

    return make


class TestScriptedDriver(DriverConformance):
    """The conformance suite."""

    @pytest.fixture(autouse=True)
    def _keep_clock(self, clock):
        self.clock = clock

    def argv(self, behaviour):
        """Spell it as a script."""
        return scripted(behaviour)

    async def pass_time(self, seconds):
        """Move the clock."""
        self.clock.advance(seconds)

    async def crash(self, driver, handle):
        """Let it vanish."""
        driver.vanish(handle.id)


def test_a_script_says_the_whole_behaviour():
    """Every field comes back from the argv."""
    behaviour = Behaviour(
        files={"/tmp/a": "1"},
        links={"/tmp/l": "a"},
        ignore_term=True,
        stdout="out",
        repeat=2,
        stderr="err",
        show=("/tmp/a",),
        show_env=("HOME",),
        listen_to=80,
        run_for_s=2.5,
        oom=True,
        start_error="no",
        lost=True,
        exit_signal=9,
        exit_code=3,
    )

    assert read_script(scripted(behaviour)) == behaviour
    assert read_script(("python", "main.py")) == Behaviour()


async def test_a_command_runs_as_long_as_the_clock_says(driver, new_spec, clock):
    """`run_for_s` passes on the manual clock alone."""
    handle = await driver.create(new_spec())
    command = Command(id=CommandId("cmd_1"), argv=scripted(Behaviour(run_for_s=60, exit_code=1)))
    await driver.exec(handle, command)
    waiting = asyncio.ensure_future(driver.wait(handle, command.id))

    clock.advance(59)
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(1)

    ended = await waiting
    assert (ended.reason, ended.code, ended.duration_s) == (ExitReason.EXITED, 1, 60)


async def test_a_script_can_lose_its_sandbox(driver, new_spec):
    """A command with `lost` takes its sandbox with it."""
    handle = await driver.create(new_spec())
    command = Command(id=CommandId("cmd_1"), argv=scripted(Behaviour(lost=True, run_for_s=FOREVER)))

    await driver.exec(handle, command)

    assert (await driver.wait(handle, command.id)).reason is ExitReason.LOST
    assert not (await driver.inspect(handle)).alive


async def test_the_driver_can_be_away(driver, new_spec):
    """While `down`, every verb is unavailable; afterwards all is as before."""
    handle = await driver.create(new_spec())

    driver.down = True
    with refused(UnavailableError):
        await driver.inspect(handle)
    with refused(UnavailableError):
        await driver.create(new_spec())
    driver.down = False

    assert [found.id for found in await driver.recover()] == [handle.id]


async def test_a_reboot_leaves_nothing(driver, new_spec):
    """After `reboot` no sandbox exists, sealed layers do."""
    handle = await driver.create(new_spec())
    await driver.seal(handle, ("/app",), LayerId("a" * 64), writable=False)

    driver.reboot()

    assert await driver.recover() == []
    assert await driver.layers() == ["a" * 64]
