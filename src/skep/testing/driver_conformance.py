"""What every driver must do, as tests: subclass `DriverConformance` in a test module and give it two fixtures.

    class TestMyDriver(DriverConformance):
        @pytest.fixture
        async def driver(self): ...        # the driver, empty; destroys at the end what the test left

        @pytest.fixture
        def new_spec(self): ...            # a function that returns a new SandboxSpec, taking its fields to change

Commands are written as `Behaviour`s; `argv` says how they are spelled for the driver. Extras that the driver lacks
are passed over by `Capabilities`; nothing else is.
"""

import asyncio
from signal import SIGKILL, SIGTERM

from skep.kernel.errors import NotFoundError
from skep.product.sandboxes.machine import Shortage, shortage
from skep.product.sandboxes.model import CommandId, ExitReason, Stream
from skep.testing.behaviour import FOREVER, Behaviour
from skep.testing.driver_tools import MIB, ConformingDriver, NewSpec, refused, text, with_limits
from skep.testing.file_conformance import FileConformance
from skep.testing.layer_conformance import LayerConformance


class DriverConformance(FileConformance, LayerConformance):
    """The suite: one test a promise of `sandboxes.ports`."""

    # ---- the sandbox itself

    async def test_a_sandbox_made_twice_is_one(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """`create` with the same spec finds what the first call made."""
        spec = new_spec()

        first = await driver.create(spec)
        second = await driver.create(spec)

        assert first == second
        assert first.driver == driver.name
        assert [handle.id for handle in await driver.recover()] == [spec.id]

    async def test_recover_lists_exactly_what_exists(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """`recover` returns a handle for each sandbox, good for every verb, and none for those destroyed."""
        kept, gone = await driver.create(new_spec()), await driver.create(new_spec())

        await driver.destroy(gone)
        found = await driver.recover()

        assert [handle.id for handle in found] == [kept.id]
        assert (await self.run(driver, found[0], self.command(Behaviour(stdout="here"))))[1] == "here"

    async def test_destroying_twice_is_no_error(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A sandbox that is gone is not alive, cannot be used, and can be destroyed again."""
        handle = await driver.create(new_spec())
        assert (await driver.inspect(handle)).alive

        await driver.destroy(handle)
        await driver.destroy(handle)

        assert not (await driver.inspect(handle)).alive
        with refused(NotFoundError):
            await driver.exec(handle, self.command(Behaviour()))

    async def test_destroying_ends_what_runs(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """`destroy` does not wait for commands."""
        handle = await driver.create(new_spec())
        await driver.exec(handle, self.command(Behaviour(ignore_term=True, run_for_s=FOREVER)))

        await driver.destroy(handle)

        assert await driver.recover() == []

    async def test_a_crash_is_seen_and_what_was_known_stays(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """After an accident the ended command's exit and all output are still told; the other one is lost."""
        handle = await driver.create(new_spec())
        ended = self.command(Behaviour(stdout="done\n", exit_code=4))
        going = self.command(Behaviour(stdout="begun\n", run_for_s=FOREVER))
        await self.run(driver, handle, ended)
        await driver.exec(handle, going)
        await self.printed(driver, handle, going, "begun\n")
        waiting = asyncio.ensure_future(driver.wait(handle, going.id))

        await self.crash(driver, handle)

        assert (await self.within(waiting)).reason is ExitReason.LOST
        assert not (await driver.inspect(handle)).alive
        known = await self.within(driver.wait(handle, ended.id))
        assert (known.reason, known.code) == (ExitReason.EXITED, 4)
        assert text(await self.collect(driver, handle, ended.id), Stream.STDOUT) == "done\n"
        assert text(await self.collect(driver, handle, going.id), Stream.STDOUT) == "begun\n"

    # ---- how commands end

    async def test_a_command_started_twice_runs_once(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """`exec` with the same id finds the command, while it runs and after its end."""
        handle = await driver.create(new_spec())
        command = self.command(Behaviour(stdout="once\n"))

        await driver.exec(handle, command)
        await driver.exec(handle, command)
        await self.within(driver.wait(handle, command.id))
        await driver.exec(handle, command)

        assert text(await self.collect(driver, handle, command.id), Stream.STDOUT) == "once\n"

    async def test_exit_code_and_both_streams_are_told(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A command's exit code and its two outputs arrive, each under its name."""
        handle = await driver.create(new_spec())

        exit_, stdout, stderr = await self.run(
            driver, handle, self.command(Behaviour(stdout="good\n", stderr="bad\n", exit_code=3))
        )

        assert (exit_.reason, exit_.code, exit_.signal) == (ExitReason.EXITED, 3, None)
        assert (stdout, stderr, exit_.truncated) == ("good\n", "bad\n", False)

    async def test_a_signal_is_no_exit_code(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A command that a signal ends is told so."""
        handle = await driver.create(new_spec())

        exit_, _, _ = await self.run(driver, handle, self.command(Behaviour(exit_signal=SIGKILL)))

        assert (exit_.reason, exit_.code, exit_.signal) == (ExitReason.SIGNALED, None, SIGKILL)

    async def test_what_cannot_be_started_says_why(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A missing program is no error of `exec`, but a command that ended so."""
        handle = await driver.create(new_spec())

        exit_, stdout, _ = await self.run(
            driver, handle, self.command(Behaviour(start_error="No such file or directory"))
        )

        assert exit_.reason is ExitReason.NOT_STARTED
        assert "No such file" in exit_.message
        assert stdout == ""

    async def test_the_time_limit_ends_a_command(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A command over its wall-clock limit gets TERM."""
        handle = await driver.create(new_spec())
        command = self.command(Behaviour(run_for_s=FOREVER), timeout_s=0.3)

        await driver.exec(handle, command)
        await self.pass_time(0.3)
        exit_ = await self.within(driver.wait(handle, command.id))

        assert (exit_.reason, exit_.signal) == (ExitReason.TIMED_OUT, SIGTERM)
        assert 0.3 <= exit_.duration_s < 5

    async def test_a_held_time_limit_stands_still(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """While a command is held its time does not pass; then what was left of it does. Saying so twice is once."""
        handle = await driver.create(new_spec())
        command = self.command(Behaviour(run_for_s=FOREVER), timeout_s=0.4)
        witness = self.command(Behaviour(run_for_s=FOREVER), timeout_s=0.8)

        await driver.exec(handle, command)
        await driver.hold(handle, command.id, held=True)
        await driver.hold(handle, command.id, held=True)
        await driver.exec(handle, witness)
        await self.pass_time(0.8)
        await self.within(driver.wait(handle, witness.id))
        waiting = asyncio.ensure_future(driver.wait(handle, command.id))
        assert (await driver.inspect(handle)).alive
        assert not waiting.done()

        await driver.hold(handle, command.id, held=False)
        await driver.hold(handle, command.id, held=False)
        await self.pass_time(0.4)
        exit_ = await self.within(waiting)
        assert (exit_.reason, exit_.signal) == (ExitReason.TIMED_OUT, SIGTERM)
        assert exit_.duration_s >= 0.8
        await driver.hold(handle, command.id, held=True)

    async def test_holding_needs_a_command(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A command that was never started cannot be held."""
        handle = await driver.create(new_spec())

        with refused(NotFoundError):
            await driver.hold(handle, CommandId("cmd_none"), held=True)

    async def test_who_ignores_term_is_killed(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """TERM is followed by KILL after the command's grace, at the time limit and on `signal`."""
        handle = await driver.create(new_spec())
        stubborn = Behaviour(ignore_term=True, stdout="ready\n", run_for_s=FOREVER)
        late = self.command(stubborn, timeout_s=0.5, grace_s=0.3)
        told = self.command(stubborn, grace_s=0.3)

        await driver.exec(handle, late)
        await driver.exec(handle, told)
        await self.printed(driver, handle, told, "ready\n")
        await driver.signal(handle, told.id, SIGTERM)
        await self.pass_time(0.5)
        await self.pass_time(0.3)

        by_signal = await self.within(driver.wait(handle, told.id))
        by_limit = await self.within(driver.wait(handle, late.id))
        assert (by_signal.reason, by_signal.signal) == (ExitReason.SIGNALED, SIGKILL)
        assert (by_limit.reason, by_limit.signal) == (ExitReason.TIMED_OUT, SIGKILL)

    async def test_a_signal_reaches_one_command_only(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """`signal` ends the command it names and leaves the other; one that is over is left alone."""
        handle = await driver.create(new_spec())
        going = Behaviour(stdout="ready\n", run_for_s=FOREVER)
        first, second = self.command(going), self.command(going)
        for command in (first, second):
            await driver.exec(handle, command)
            await self.printed(driver, handle, command, "ready\n")

        await driver.signal(handle, first.id, SIGTERM)
        ended = await self.within(driver.wait(handle, first.id))
        await driver.signal(handle, first.id, SIGTERM)
        still = asyncio.ensure_future(driver.wait(handle, second.id))
        await asyncio.wait([still], timeout=0.1)

        assert (ended.reason, ended.signal) == (ExitReason.SIGNALED, SIGTERM)
        assert not still.done()
        await driver.signal(handle, second.id, SIGKILL)
        assert (await self.within(still)).signal == SIGKILL

    async def test_out_of_memory_is_told_apart(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A command that the kernel ends for its memory is not simply "killed"."""
        if not (await driver.capabilities()).limits_enforced.get("memory"):
            return
        handle = await driver.create(with_limits(new_spec(), memory_bytes=96 * MIB))

        exit_, _, _ = await self.run(driver, handle, self.command(Behaviour(oom=True)))

        assert exit_.reason is ExitReason.OUT_OF_MEMORY
        assert (await driver.inspect(handle)).oom_kills >= 1
        killed, _, _ = await self.run(driver, handle, self.command(Behaviour(exit_signal=SIGKILL)))
        assert killed.reason is ExitReason.SIGNALED

    async def test_what_has_run_out_is_seen(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """Too many processes and a full disk are seen after the command, and only in the sandbox that had them."""
        enforced = (await driver.capabilities()).limits_enforced
        if not (enforced.get("pids") and enforced.get("disk")):
            return
        crowded = await driver.create(with_limits(new_spec(), pids=32))
        full = await driver.create(with_limits(new_spec(), disk_bytes=32 * MIB))

        assert shortage(await driver.inspect(crowded)) is None
        assert shortage(await driver.inspect(full)) is None
        await self.run(driver, crowded, self.command(Behaviour(too_many=True, exit_code=1)))
        await self.run(driver, full, self.command(Behaviour(fill_disk=True, exit_code=1)))

        assert shortage(await driver.inspect(crowded)) is Shortage.PROCESSES
        assert shortage(await driver.inspect(full)) is Shortage.DISK

    async def test_an_unknown_command_is_not_found(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """Nobody waits for ever for a command that was never started."""
        handle = await driver.create(new_spec())

        with refused(NotFoundError):
            await self.within(driver.wait(handle, CommandId("cmd_never")))

    async def test_the_environment_is_what_was_given(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A command sees its own environment and nothing of Skep's."""
        handle = await driver.create(new_spec())
        command = self.command(Behaviour(show_env=("GIVEN", "HOME", "SKEP_TOKEN")), GIVEN="it's <this>")

        assert (await self.run(driver, handle, command))[1] == "GIVEN=it's <this>\nHOME=\nSKEP_TOKEN=\n"

    # ---- output

    async def test_output_goes_on_from_any_offset(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """From each chunk's `next_offset` on, exactly the rest comes."""
        handle = await driver.create(new_spec())
        command = self.command(Behaviour(stdout="0123456789abcde\n", repeat=20_000, stderr="end\n"))
        await driver.exec(handle, command)
        whole = await self.collect(driver, handle, command.id)

        assert sum(len(chunk.data) for chunk in whole) == 16 * 20_000 + 4
        offsets = [chunk.next_offset for chunk in whole]
        assert offsets == sorted(set(offsets))
        for index in {0, len(whole) // 2, len(whole) - 1}:
            assert await self.collect(driver, handle, command.id, whole[index].next_offset) == whole[index + 1 :]

    async def test_output_comes_while_the_command_runs(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """What is printed is told before the end; two may follow at once."""
        handle = await driver.create(new_spec())
        command = self.command(Behaviour(stdout="early\n", run_for_s=FOREVER))
        await driver.exec(handle, command)

        await asyncio.gather(
            self.printed(driver, handle, command, "early\n"), self.printed(driver, handle, command, "early\n")
        )
        await driver.signal(handle, command.id, SIGKILL)

        assert text(await self.collect(driver, handle, command.id), Stream.STDOUT) == "early\n"

    async def test_output_beyond_the_limit_keeps_both_ends(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """Of too much output the first half and the end are kept, with a note between them, and the exit says so."""
        handle = await driver.create(with_limits(new_spec(), output_bytes=64 * 1024))
        lines = Behaviour(stdout="0123456789abcde\n", repeat=100_000, stderr="last words\n")

        command = self.command(lines)
        exit_, stdout, stderr = await self.run(driver, handle, command)

        chunks = await self.collect(driver, handle, command.id)
        assert exit_.truncated
        assert 32 * 1024 <= len(stdout) <= 64 * 1024 + len(stderr)
        assert stdout.startswith("0123456789abcde\n" * 2048)
        assert stderr == "last words\n"
        assert "left out" in text(chunks, Stream.SYSTEM)
