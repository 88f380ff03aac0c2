"""What the driver conformance suites have in common."""

import asyncio
import dataclasses
import itertools
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from skep.kernel.errors import SkepError
from skep.product.sandboxes.model import Command, CommandId, Exit, Handle, OutputChunk, SandboxSpec, Stream
from skep.product.sandboxes.ports import Doors, Driver, Files, Holding, Output, Sealing
from skep.testing.behaviour import Behaviour, shell

MIB = 1 << 20
_PATIENCE_S = 20.0


class ConformingDriver(Driver, Output, Holding, Files, Doors, Sealing, Protocol):
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


class DriverTools:
    """What the suites do with a driver; the test module of a driver may override the first three."""

    _numbers = itertools.count(1)

    def argv(self, behaviour: Behaviour) -> tuple[str, ...]:
        """Spell a behaviour for this driver."""
        return shell(behaviour)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass where it does not pass by itself."""

    async def crash(self, driver: ConformingDriver, handle: Handle) -> None:
        """End the sandbox from outside, as an accident would, without the driver's knowledge."""
        raise NotImplementedError

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


def text(chunks: list[OutputChunk], stream: Stream) -> str:
    """Return what came on one stream."""
    return b"".join(chunk.data for chunk in chunks if chunk.stream is stream).decode()


def with_limits(spec: SandboxSpec, **limits: int) -> SandboxSpec:
    """Return *spec* with other limits."""
    return dataclasses.replace(spec, limits=dataclasses.replace(spec.limits, **limits))


async def read(driver: ConformingDriver, handle: Handle, path: str, limit: int = MIB) -> bytes:
    """Return a file's content."""
    return b"".join([block async for block in driver.get(handle, path, limit=limit)])
