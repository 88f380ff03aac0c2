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
import dataclasses
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from signal import SIGKILL, SIGTERM
from typing import Protocol

from skep.kernel.errors import ForbiddenError, InvalidError, NotFoundError, SkepError, TooLargeError
from skep.product.sandboxes.model import (
    Command,
    CommandId,
    Exit,
    ExitReason,
    Handle,
    LayerId,
    OutputChunk,
    SandboxSpec,
    Stream,
)
from skep.product.sandboxes.ports import Doors, Driver, Files, Output, Sealing
from skep.testing.behaviour import FOREVER, Behaviour, shell

MIB = 1 << 20
_PATIENCE_S = 20.0


class ConformingDriver(Driver, Output, Files, Doors, Sealing, Protocol):
    """A driver with the extras that the suite looks at."""

    name: str


NewSpec = Callable[..., SandboxSpec]


@contextmanager
def refused(*kinds: type[SkepError]) -> Generator[None]:
    """Expect one of these errors."""
    try:
        yield
    except kinds:
        return
    raise AssertionError(f"nothing was refused; expected {[kind.__name__ for kind in kinds]}")


class DriverConformance:
    """The suite: one test a promise of `sandboxes.ports`."""

    _numbers = itertools.count(1)

    # ---- what a driver's test module may say otherwise

    def argv(self, behaviour: Behaviour) -> tuple[str, ...]:
        """Spell a behaviour for this driver."""
        return shell(behaviour)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass where it does not pass by itself."""

    async def crash(self, driver: ConformingDriver, handle: Handle) -> None:
        """End the sandbox from outside, as an accident would, without the driver's knowledge."""
        raise NotImplementedError

    # ---- tools

    def command(
        self, behaviour: Behaviour, *, timeout_s: float | None = None, grace_s: float = 1.5, **env: str
    ) -> Command:
        """Return a new command that behaves so."""
        return Command(
            id=CommandId(f"cmd_{next(self._numbers)}"),
            argv=self.argv(behaviour),
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", **env},
            cwd="/",
            timeout_s=timeout_s,
            grace_s=grace_s,
        )

    async def run(self, driver: ConformingDriver, handle: Handle, command: Command) -> tuple[Exit, str, str]:
        """Execute a command to its end; return how it ended, its output and its errors."""
        await driver.exec(handle, command)
        chunks = await self.collect(driver, handle, command.id)
        exit_ = await self.within(driver.wait(handle, command.id))
        return exit_, text(chunks, Stream.STDOUT), text(chunks, Stream.STDERR)

    async def collect(
        self, driver: ConformingDriver, handle: Handle, command_id: CommandId, offset: int = 0
    ) -> list[OutputChunk]:
        """Return the output from *offset* to the end."""
        async with asyncio.timeout(_PATIENCE_S):
            return [chunk async for chunk in driver.output(handle, command_id, offset)]

    async def within(self, ending: Awaitable[Exit]) -> Exit:
        """Wait for an end, but not for ever."""
        async with asyncio.timeout(_PATIENCE_S):
            return await ending

    async def printed(self, driver: ConformingDriver, handle: Handle, command: Command, words: str) -> None:
        """Wait until a command that goes on has printed *words*."""
        seen = ""
        async with asyncio.timeout(_PATIENCE_S):
            async for chunk in driver.output(handle, command.id):
                seen += chunk.data.decode()
                if words in seen:
                    return
        raise AssertionError(f"the command ended and had only printed {seen!r}")

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

    # ---- files

    async def test_files_go_in_and_come_out(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """`put` makes folders, takes bytes and streams, and replaces what is there; `get` returns it."""
        handle = await driver.create(new_spec())
        content = bytes(range(256)) * 1024

        async def stream() -> AsyncIterator[bytes]:
            yield content[:100_000]
            yield content[100_000:]

        await driver.put(handle, "/home/agent/a/b/file", b"old", mode=0o644)
        await driver.put(handle, "/home/agent/a/b/file", stream(), mode=0o640)
        await driver.put(handle, "/home/agent/empty", b"")

        assert await read(driver, handle, "/home/agent/a/b/file") == content
        assert await read(driver, handle, "/home/agent/empty") == b""
        entries = await driver.list(handle, "/home/agent/a")
        assert [(entry.path, entry.is_dir) for entry in entries] == [("b", True), ("b/file", False)]
        assert (entries[1].size, entries[1].mode) == (len(content), 0o640)
        command = self.command(Behaviour(show=("/home/agent/a/b/file",)))
        await driver.exec(handle, command)
        shown = b"".join([chunk.data for chunk in await self.collect(driver, handle, command.id)])
        assert shown == content

    async def test_what_cannot_be_read_is_refused(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """An absent file, a folder, a file over the limit: each has its error; a full one at the limit is given."""
        handle = await driver.create(new_spec())
        await driver.put(handle, "/home/agent/folder/file", b"x" * 1000)

        with refused(NotFoundError):
            await read(driver, handle, "/home/agent/none")
        with refused(NotFoundError):
            await read(driver, handle, "/home/agent/folder")
        with refused(TooLargeError):
            await read(driver, handle, "/home/agent/folder/file", limit=999)
        assert len(await read(driver, handle, "/home/agent/folder/file", limit=1000)) == 1000
        with refused(InvalidError, NotFoundError):
            await driver.put(handle, "relative", b"")

    async def test_links_lead_nowhere_new(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """Through a link of the agent's, neither the driver nor the server reads or writes what the agent may not."""
        handle = await driver.create(new_spec())
        links = {"/home/agent/file": "/etc/shadow", "/home/agent/out": "/etc", "/home/agent/up": "../../.."}
        await self.run(driver, handle, self.command(Behaviour(links=links)))

        with refused(NotFoundError, ForbiddenError):
            await read(driver, handle, "/home/agent/file")
        with refused(NotFoundError, ForbiddenError):
            await read(driver, handle, "/home/agent/out/shadow")
        with refused(ForbiddenError, NotFoundError):
            await driver.put(handle, "/home/agent/out/planted", b"x")
        entries = await driver.list(handle, "/home/agent")
        assert [(entry.path, entry.is_link, entry.is_dir) for entry in entries if entry.is_link] == [
            ("file", True, False),
            ("out", True, False),
            ("up", True, False),
        ]
        await driver.put(handle, "/home/agent/file", b"mine")
        assert await read(driver, handle, "/home/agent/file") == b"mine"

    async def test_listings_are_ordered_and_bounded(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """A listing is depth first by name, no longer than asked for; an absent folder is empty."""
        handle = await driver.create(new_spec())
        for path in ("b", "a/z", "a/b/c", "c"):
            await driver.put(handle, f"/home/agent/tree/{path}", b"1")

        listed = [entry.path for entry in await driver.list(handle, "/home/agent/tree")]

        assert listed == ["a", "a/b", "a/b/c", "a/z", "b", "c"]
        assert len(await driver.list(handle, "/home/agent/tree", limit=2)) == 2
        assert await driver.list(handle, "/home/agent/none") == []

    async def test_the_disk_has_an_end(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """Beyond the disk limit a file is refused; the sandbox lives on and tells what its commands print."""
        if not (await driver.capabilities()).limits_enforced.get("disk"):
            return
        handle = await driver.create(with_limits(new_spec(), disk_bytes=32 * MIB))

        with refused(TooLargeError):
            await driver.put(handle, "/home/agent/big", bytes(64 * MIB))

        assert (await self.run(driver, handle, self.command(Behaviour(stdout="alive"))))[1] == "alive"

    # ---- doors and layers

    async def test_a_door_leads_to_the_server(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """What connects to a door inside reaches the socket that `listen` returned; it may be opened again."""
        if not (await driver.capabilities()).doors:
            return
        handle = await driver.create(dataclasses.replace(new_spec(), doors=(80,)))
        (await driver.listen(handle, 80)).close()
        listener = await driver.listen(handle, 80)
        listener.setblocking(False)

        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"welcome\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(greet, sock=listener):
            exit_, stdout, _ = await self.run(driver, handle, self.command(Behaviour(listen_to=80)))

        assert (stdout, exit_.code) == ("welcome\n", 0)

    async def test_a_layer_holds_what_was_sealed(self, driver: ConformingDriver, new_spec: NewSpec) -> None:
        """Folders sealed in one sandbox are there in the next; sealing again changes nothing; it can be dropped."""
        if not (await driver.capabilities()).sealing:
            return
        layer = LayerId("5eed" * 16)
        maker = await driver.create(new_spec())
        await self.run(
            driver, maker, self.command(Behaviour(files={"/app/main.py": "print(1)\n", "/home/agent/not": "x"}))
        )

        size = await driver.seal(maker, ("/app",), layer, writable=True)
        again = await driver.seal(maker, ("/app",), layer, writable=True)
        user = await driver.create(dataclasses.replace(new_spec(), layers=(layer,)))

        assert size == again >= 9
        assert layer in await driver.layers()
        assert await read(driver, user, "/app/main.py") == b"print(1)\n"
        with refused(NotFoundError):
            await read(driver, user, "/home/agent/not")
        changed = self.command(Behaviour(files={"/app/main.py": "print(2)\n"}, show=("/app/main.py",)))
        assert (await self.run(driver, user, changed))[1] == "print(2)\n"
        await driver.destroy(user)
        await driver.destroy(maker)
        await driver.drop_layer(layer)
        await driver.drop_layer(layer)
        assert layer not in await driver.layers()


def text(chunks: list[OutputChunk], stream: Stream) -> str:
    """Return what came on one stream."""
    return b"".join(chunk.data for chunk in chunks if chunk.stream is stream).decode()


def with_limits(spec: SandboxSpec, **limits: int) -> SandboxSpec:
    """Return *spec* with other limits."""
    return dataclasses.replace(spec, limits=dataclasses.replace(spec.limits, **limits))


async def read(driver: ConformingDriver, handle: Handle, path: str, limit: int = MIB) -> bytes:
    """Return a file's content."""
    return b"".join([block async for block in driver.get(handle, path, limit=limit)])
