"""Sees to it, beside those who follow a command, that a cancel and the time limit have their effect on it."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

from skep.kernel.errors import NotFoundError, SkepError
from skep.product.runs.model import Attempt, RunLimits
from skep.product.runs.ports import JobDriver
from skep.product.sandboxes.model import CommandId, Handle

log = logging.getLogger(__name__)

#: How much later than the agent's grace KILL comes at the most, in seconds.
_KILL_SLACK_S = 0.4


class Enforcer:
    """Ends one attempt's command when that is wanted or its time is long over.

    It goes on while following fails and begins anew, so that KILL comes when it is due after the first TERM.
    """

    def __init__(
        self, driver: JobDriver, handle: Handle, attempt: Attempt, limits: RunLimits, cancelled: asyncio.Event
    ) -> None:
        self._driver = driver
        self._handle = handle
        self._attempt = attempt
        self._command = CommandId(attempt.id)
        self._limits = limits
        self._cancelled = cancelled
        self._slack_s = limits.slack_s + limits.grace_s
        self._task: asyncio.Task[None] | None = None
        self._limit: asyncio.Timeout | None = None
        self._left_s: float | None = None
        #: Whether the command was ended because its time, which the sandbox keeps itself, was long over.
        self.overdue = False

    def start(self, left_s: float | None) -> None:
        """Begin; *left_s* seconds from now the time limit is over, whatever the sandbox says; None: it is held."""
        self._left_s = left_s
        self._task = asyncio.create_task(self._enforce())

    def allow(self, left_s: float | None) -> None:
        """Set the time limit anew, as `start` does, unless it is over already."""
        self._left_s = left_s
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(None if left_s is None else asyncio.get_running_loop().time() + left_s)

    async def stop(self) -> None:
        """Let go: the command is over, or this process no longer follows it."""
        if (task := self._task) is None:
            return
        self._task = None
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    async def _enforce(self) -> None:
        try:
            async with asyncio.timeout(self._left_s) as self._limit:
                await self._cancelled.wait()
        except TimeoutError:
            self.overdue = True
        finally:
            self._limit = None
        if not self.overdue:
            await self._term()
        await self._signal(signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._slack_s):
                # Over, as it should be: what it left is still to be kept, though following may fail just now.
                return await self._insist(lambda: self._driver.wait(self._handle, self._command))
        log.warning("a command outlived SIGKILL", extra={"attempt": self._attempt.id, "sandbox": self._handle.id})
        return await self._insist(lambda: self._driver.destroy(self._handle))

    async def _term(self) -> None:
        """Send TERM and wait until KILL is due, whether or not it came through: nobody may know."""
        clock = asyncio.get_running_loop().time
        kill_at = clock() + self._limits.grace_s + min(self._limits.slack_s, _KILL_SLACK_S)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(kill_at):
                await self._signal(signal.SIGTERM)
        await asyncio.sleep(max(0.0, kill_at - clock()))

    async def _signal(self, number: int) -> None:
        await self._insist(lambda: self._driver.signal(self._handle, self._command, number))

    async def _insist(self, action: Callable[[], Awaitable[object]]) -> None:
        """Do what must be done, however long the driver is away; a sandbox that is gone needs nothing."""
        pause_s = self._limits.retry_s
        while True:
            try:
                await action()
            except NotFoundError:
                return
            except SkepError as error:
                log.warning("a command cannot be ended yet", extra={"why": str(error), "code": error.code})
                await asyncio.sleep(pause_s)
                pause_s = min(_KILL_SLACK_S, pause_s * 2)
            else:
                return
