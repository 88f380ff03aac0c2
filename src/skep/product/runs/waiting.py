"""An attempt that waits for people: who listens for an answer, and that its time stands still meanwhile."""

import asyncio
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from skep.kernel.errors import FencedError, InvalidError, NotFoundError, SkepError
from skep.kernel.events import Hub
from skep.product.runs.asking import Asking, Standing
from skep.product.runs.enforcer import Enforcer
from skep.product.runs.model import Asked, Attempt, Question, RunLimits
from skep.product.runs.ports import JobDriver
from skep.product.runs.questions import MAX_BODY, read_question
from skep.product.sandboxes.model import CommandId, Handle
from skep.product.work.model import Lease

log = logging.getLogger(__name__)

#: Looked again at least so often: no moment that a clock brings is missed for long.
_LOOK_S = 3600.0
#: How long reading what a run asks rests after a question: so many times as long as it took.
_REST = 9.0
_LONGEST_REST_S = 5.0


class Waiting:
    """How one attempt waits, for as long as this process executes it.

    What is wanted stands in the attempt's row. `_keep` brings sandbox and enforcer to it, again and again, so that
    neither a lost wake-up nor a driver that is away leaves a run whose time is stopped for ever, or goes on too early.
    """

    def __init__(
        self,
        asking: Asking,
        driver: JobDriver,
        hub: Hub,
        handle: Handle,
        attempt: Attempt,
        lease: Lease,
        limits: RunLimits,
        left_s: Callable[[Attempt], float | None],
    ) -> None:
        self._asking = asking
        self._driver = driver
        self._hub = hub
        self._handle = handle
        self._attempt = attempt
        self._lease = lease
        self._limits = limits
        #: How long the server lets it go on; None while it waits.
        self._left_s = left_s
        self._topic = f"run:{attempt.run_id}"
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._enforcer: Enforcer | None = None
        self._listeners = 0
        #: Since when nobody listens.
        self._absent_at = asyncio.get_running_loop().time()
        #: What the sandbox, and the enforcer, were told last.
        self._held: bool | None = None
        self._told: tuple[Enforcer | None, bool] | None = None

    async def answered(self, asked: Asked) -> Question:
        """Ask, and return the question when it is answered, or can be answered no more.

        Raises:
            ConflictError: it cannot be asked.
        """
        question = await self._asking.ask(self._attempt.id, self._lease, asked)
        if not question.is_open(self._asking.now_ms()):
            return question
        with self._listening(), self._hub.subscribe(self._topic) as woken:
            self.begin()
            while True:
                woken.clear()
                question = await self._asking.question(question.id)
                if not question.is_open(now_ms := self._asking.now_ms()):
                    return question
                await _woken(woken, (question.expires_ms - now_ms) / 1000)

    def begin(self) -> None:
        """See to it from now on that time stands still while the attempt waits, and goes on when it does not."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep())

    def enforced_by(self, enforcer: Enforcer) -> None:
        """Name who ends the attempt when its time is over."""
        self._enforcer = enforcer
        self._changed.set()

    async def stop(self) -> None:
        """Let go of it."""
        if (task := self._task) is not None:
            self._task = None
            task.cancel()
            await asyncio.wait({task})

    @contextmanager
    def _listening(self) -> Generator[None]:
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1
            self._absent_at = asyncio.get_running_loop().time()
            self._changed.set()

    async def _keep(self) -> None:
        with self._hub.subscribe(self._topic) as woken:
            # One event for all: what the hub wakes, and what changes here.
            self._changed = woken
            while True:
                woken.clear()
                try:
                    due_s = await self._look()
                except FencedError:
                    return
                except SkepError as error:
                    log.warning("a waiting run is looked at again", extra={"why": str(error), "code": error.code})
                    due_s = self._limits.retry_s
                except Exception:
                    log.exception("a waiting run cannot be looked at")
                    due_s = _LOOK_S
                await _woken(woken, due_s)

    async def _look(self) -> float:
        """Do what is due now; return in how many seconds something else will be."""
        standing = await self._asking.standing(self._attempt.id)
        if standing.attempt.waiting_since_ms is not None and (why := self._in_vain(standing)):
            await self._asking.unask(self._attempt.id, self._lease, why)
            standing = await self._asking.standing(self._attempt.id)
        await self._apply(standing.attempt)
        return self._due_s(standing)

    def _in_vain(self, standing: Standing) -> str:
        """Say why the attempt has nothing to wait for; "" if it has."""
        if not standing.open:
            return "expired"
        return "nobody_listens" if not self._listeners and self._absent_s() >= self._limits.absence_s else ""

    def _absent_s(self) -> float:
        return asyncio.get_running_loop().time() - self._absent_at

    def _due_s(self, standing: Standing) -> float:
        if standing.attempt.waiting_since_ms is None:
            return _LOOK_S
        moments = [(question.expires_ms - self._asking.now_ms()) / 1000 for question in standing.open]
        if not self._listeners:
            moments.append(self._limits.absence_s - self._absent_s())
        return max(0.0, min([_LOOK_S, *moments]))

    async def _apply(self, attempt: Attempt) -> None:
        waits = attempt.waiting_since_ms is not None
        if self._enforcer is not None and self._told != (self._enforcer, waits):
            self._enforcer.allow(self._left_s(attempt))
            self._told = (self._enforcer, waits)
        if self._held is not waits:
            # No such command: it is not started yet. Not understood: this sandbox was made by an older Skep.
            with suppress(NotFoundError, InvalidError):
                await self._driver.hold(self._handle, CommandId(attempt.id), held=waits)
            self._held = waits


class AskDesk:
    """`POST /ask` at the door of an attempt; implements `door.Desk`."""

    max_body = MAX_BODY

    def __init__(self, waiting: Waiting, reading: asyncio.Lock) -> None:
        self._waiting = waiting
        #: One question of this run, and one of all runs, is read at a time: a schema takes up to a quarter of a second.
        self._turn, self._reading = asyncio.Lock(), reading
        #: So that one run's schemas cost the server a small part of a processor, however many it asks with.
        self._free_at = 0.0

    async def post(self, path: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """Hold the question until it is answered; 410 when nobody can answer it any more."""
        if path != "/ask":
            raise NotFoundError("There is nothing but /ask behind this door.")
        question = await self._waiting.answered(await self._read(body))
        if question.answered_ms is not None:
            return 200, {"answer": question.answer}
        return 410, {"code": "question_expired", "message": "Nobody answered in time."}

    async def _read(self, body: bytes) -> Asked:
        clock = asyncio.get_running_loop().time
        async with self._turn:
            await asyncio.sleep(max(0.0, self._free_at - clock()))
            async with self._reading:
                began = clock()
                reading = asyncio.create_task(asyncio.to_thread(read_question, body))
                try:
                    return await asyncio.shield(reading)
                finally:
                    # A thread goes on when whoever asked has hung up: it is nobody else's turn before it has ended.
                    await asyncio.wait({reading})
                    self._free_at = clock() + min(_LONGEST_REST_S, _REST * (clock() - began))


async def _woken(event: asyncio.Event, seconds: float) -> None:
    """Wait for *event*, or for some time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, min(seconds, _LOOK_S))):
            await event.wait()
