"""One child process that is started again whenever it ends."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from skep.edge.cli.launch import pids
from skep.edge.cli.launch.children import Child, spawn
from skep.edge.cli.launch.folders import PrepareError

#: What a step tells whoever waits for it: a word, and details.
Say = Callable[..., None]

#: Quick deaths in a row, before the child has ever been of use, after which the start is given up.
_MAX_DEATHS = 3
#: Long enough to have been of use: a child that lived so long is started again at once.
_LONG_LIFE_S = 3.0
#: What a child ends with that says that another try is useless (EX_CONFIG of sysexits.h).
_USELESS = 78
#: Stands for the status of a child that could not even be started this time (a shell says it so).
_NOT_STARTED = 127


def backoff_s(deaths: int) -> float:
    """Return how long to wait before the next start, after so many quick deaths in a row."""
    return 0.0 if deaths <= 1 else min(5.0, 0.1 * 2 ** (deaths - 2))


class Kept:
    """Starts a child, notes its process id, waits for its end, starts it again."""

    def __init__(self, name: str, make: Callable[[], Child], *, pid_file: str, say: Say, stop: asyncio.Event) -> None:
        self._name = name
        self._make = make
        self._pid_file = pid_file
        self._say = say
        self._stop = stop
        self._pid: int | None = None
        self._deaths = 0
        self._task: asyncio.Task[None] | None = None
        #: True once it has been of use: from then on it is started again for ever.
        self.proven = False

    def begin(self) -> None:
        """Start it."""
        self._task = asyncio.create_task(self._live(), name=self._name)

    @property
    def task(self) -> asyncio.Task[None]:
        """What is done when the child is not started any more."""
        assert self._task is not None, "begin comes first"
        return self._task

    def raise_failure(self) -> None:
        """Raise what made an end of the starting, if anything did."""
        if self.task.done():
            self.task.result()

    async def end(self, wait_s: float) -> None:
        """TERM, and KILL if that takes too long; *stop* must be set before."""
        self._signal(signal.SIGTERM)
        await asyncio.wait([self.task], timeout=wait_s)
        if not self.task.done():
            self._say("killed", part=self._name)
            self._signal(signal.SIGKILL)
        await asyncio.wait([self.task])
        pids.forget(self._pid_file)

    def _signal(self, number: int) -> None:
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    async def _live(self) -> None:
        while not self._stop.is_set():
            lived_s, status = await self._once()
            if self._stop.is_set():
                return
            self._deaths = 1 if lived_s > _LONG_LIFE_S else self._deaths + 1
            self._say("died", part=self._name, status=status, deaths=self._deaths)
            if not self.proven and (self._deaths >= _MAX_DEATHS or status == _USELESS):
                raise PrepareError(f"the {self._name} cannot start (status {status})", "what it said last tells why")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff_s(self._deaths)):
                    await self._stop.wait()

    async def _once(self) -> tuple[float, int]:
        """Start it and wait for its end; return how long it lived, and its status, negative for a signal."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            self._pid = spawn(self._make())
        except (OSError, PrepareError) as error:
            if not self.proven:
                raise error if isinstance(error, PrepareError) else PrepareError(str(error)) from error
            self._say("not_started", part=self._name, message=str(error))
            return 0.0, _NOT_STARTED
        pids.write(self._pid_file, self._pid)
        await _over(self._pid)
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])  # noqa: ASYNC222  it has ended
        self._pid = None
        return loop.time() - began, status


async def _over(pid: int) -> None:
    """Wait until the child has ended."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    handle = os.pidfd_open(pid)
    try:
        loop.add_reader(handle, lambda: over.done() or over.set_result(None))
        await over
    finally:
        loop.remove_reader(handle)
        os.close(handle)
