"""The one thread that writes: it runs whatever waits in one transaction, commits once, then answers all.

At first without any guard, and statements shared (`shared.py`): a savepoint costs two journeys to PostgreSQL, as much
as a unit itself. If any unit fails all run again, each in a savepoint, so that one that fails takes only itself back.
What takes the whole transaction with it (a full disk in SQLite, savepoints included; a clash with another server) makes
the units run again, one by one.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, Engine, RootTransaction

from skep.adapters.storage.callouts import Callouts
from skep.adapters.storage.errors import (
    DRIVER_ERRORS,
    driver_error,
    is_away,
    is_conflict,
    ruins_batch,
    translate,
    translated,
)
from skep.adapters.storage.shared import Shared, share
from skep.kernel.database import Tx
from skep.kernel.errors import SkepError, UnavailableError, UnknownOutcomeError

logger = logging.getLogger(__name__)

#: So many units share a commit at the most: the first of them waits for the last.
MAX_BATCH = 256
#: So often a unit is run again when other servers' transactions are in its way.
_TRIES = 12
#: So often those who share a commit are run again together before they are parted.
_TRIES_TOGETHER = 2
#: Where in `Connection.info` the unit that runs is kept.
_UNIT = "skep_unit"


@dataclass(slots=True)
class Unit:
    """A function of a transaction, and who waits for its answer."""

    work: Callable[[Tx], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    actions: list[Callable[[], Any]] = field(default_factory=list[Callable[[], Any]])
    #: What other servers are to be woken for.
    topics: list[str] = field(default_factory=list[str])
    result: Any = None
    error: BaseException | None = None
    #: Nothing more will happen to it.
    answered: bool = False

    def reset(self) -> None:
        """Forget what an earlier try left."""
        self.actions.clear()
        self.topics.clear()
        self.result = self.error = None


class _LostBatchError(Exception):
    """The transaction is gone with all that was done in it; `__cause__` says why."""


class _UnreachableError(Exception):
    """No transaction can be begun; `__cause__` says why."""


def add_action(connection: Connection, action: Callable[[], Any]) -> None:
    """Have *action* called after the commit of the unit that runs on *connection*."""
    _unit_on(connection).actions.append(action)


def add_topic(connection: Connection, topic: str) -> None:
    """Have other servers woken for *topic* at the commit of the unit that runs on *connection*."""
    _unit_on(connection).topics.append(topic)


def _unit_on(connection: Connection) -> Unit:
    unit: Unit | None = connection.info.get(_UNIT)
    if unit is None:
        raise RuntimeError("a read transaction has no commit after which something could happen")
    return unit


class Writer:
    """Owns the writing connection and its thread."""

    def __init__(self, engine: Engine, callouts: Callouts | None = None) -> None:
        self._engine = engine
        self._callouts = callouts
        self._connection: Connection | None = None
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="skep-db-writer", daemon=True)
        self._closed = False

    def start(self) -> None:
        """Start the thread; the connection is made when it is first needed."""
        self._thread.start()

    def submit(self, unit: Unit) -> None:
        """Queue *unit*."""
        if self._closed:
            raise UnavailableError("the database is closed", code="database_unavailable")
        self._queue.put(unit)

    def stop(self) -> None:
        """Do what is queued, then end the thread; blocks until it is over."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    # ---- the thread
    def _main(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._next_batch()
            try:
                self._commit(batch)
            except Exception as exc:
                logger.exception("the writer met what it does not know")
                self._disconnect()
                _fail([unit for unit in batch if not unit.answered], exc)
            _answer(batch)
        self._disconnect()

    def _next_batch(self) -> tuple[list[Unit], bool]:
        batch: list[Unit] = []
        unit = self._queue.get()
        while unit is not None:
            # Whoever gave up before his turn wants it undone.
            if not unit.future.cancelled():
                batch.append(unit)
            if len(batch) >= MAX_BATCH:
                return batch, True
            try:
                unit = self._queue.get(block=not batch)
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[Unit]) -> None:
        if not batch:
            return
        try:
            if not any(self._run_together(batch, guarded=guarded) for guarded in (False, True)):
                for unit in batch:
                    self._run_alone(unit)
        except _UnreachableError as exc:
            error = translate(cast("Exception", exc.__cause__))
            _fail([unit for unit in batch if not unit.answered], error)

    def _run_together(self, batch: list[Unit], *, guarded: bool) -> bool:
        """Run *batch* in one transaction; False if it was lost. Another server in the way does not part it at once."""
        for _ in range(_TRIES_TOGETHER):
            try:
                self._run(batch, guarded=guarded)
            except _LostBatchError as exc:
                if not is_conflict(cast("Exception", exc.__cause__)):
                    return False
            else:
                return True
        return False

    def _run_alone(self, unit: Unit) -> None:
        for number in range(_TRIES):
            try:
                self._run([unit], guarded=False)
            except _LostBatchError as exc:
                cause = cast("Exception", exc.__cause__)
                if number + 1 < _TRIES and is_conflict(cause):
                    # The others need a moment to get out of the way; this thread has nothing better to do.
                    time.sleep(0.001 * 2 ** min(number, 6))
                    continue
                _fail([unit], translate(cause))
            return

    def _run(self, units: list[Unit], *, guarded: bool) -> None:
        """Run *units* in one transaction, each in a savepoint if *guarded*; one alone may fail by itself."""
        transaction = self._begin()
        alone = len(units) == 1
        shared = None if guarded or alone else Shared()
        share(transaction.connection, shared)
        try:
            for unit in units:
                unit.reset()
                if guarded and not alone:
                    self._run_guarded(transaction.connection, unit)
                else:
                    self._run_member(transaction.connection, unit, alone=alone)
            if alone and units[0].error is not None:
                transaction.rollback()
            else:
                _settle(transaction.connection, shared)
                self._call_out(transaction.connection, units)
                self._end(transaction, units)
        except (*DRIVER_ERRORS, _LostBatchError) as exc:
            cause = exc.__cause__ if isinstance(exc, _LostBatchError) else exc
            self._roll_back(transaction, cast("Exception", cause))
            raise _LostBatchError from cause
        for unit in units:
            unit.answered = True

    def _call_out(self, connection: Connection, units: list[Unit]) -> None:
        topics = {topic for unit in units for topic in unit.topics}
        if topics and self._callouts is not None:
            self._callouts.send(connection, topics)

    def _end(self, transaction: RootTransaction, units: list[Unit]) -> None:
        try:
            transaction.commit()
        except DRIVER_ERRORS as exc:
            if not is_away(exc):
                raise
            self._disconnect()
            _fail([unit for unit in units if unit.error is None], _unknown(exc))

    def _run_member(self, connection: Connection, unit: Unit, *, alone: bool) -> None:
        connection.info[_UNIT] = unit
        try:
            with translated():
                unit.result = unit.work(cast("Tx", connection))
        except BaseException as exc:  # whatever it is, it belongs to whoever sent the unit
            if not alone or ruins_batch(exc):
                raise _LostBatchError from exc
            unit.reset()
            unit.error = exc

    def _run_guarded(self, connection: Connection, unit: Unit) -> None:
        driver: Any = connection.connection.dbapi_connection
        connection.info[_UNIT] = unit
        # Plain statements: SQLAlchemy's own savepoints cost three times as much.
        driver.execute("SAVEPOINT unit")
        try:
            with translated():
                unit.result = unit.work(cast("Tx", connection))
                driver.execute("RELEASE unit")
        except BaseException as exc:  # whatever it is, it belongs to whoever sent the unit
            if ruins_batch(exc):
                raise _LostBatchError from exc
            unit.reset()
            unit.error = exc
            driver.execute("ROLLBACK TO unit")
            driver.execute("RELEASE unit")

    # ---- the connection
    def _begin(self) -> RootTransaction:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return self._connection.begin()
        except DRIVER_ERRORS as exc:
            self._disconnect()
            raise _UnreachableError from exc

    def _roll_back(self, transaction: RootTransaction, cause: Exception) -> None:
        if ruins_batch(cause) and not is_conflict(cause):
            self._disconnect()
            return
        try:
            transaction.rollback()
        except DRIVER_ERRORS:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.invalidate()
            connection.close()
        except Exception:  # it is broken; nothing depends on how it goes
            logger.debug("closing a broken connection failed", exc_info=True)


def _settle(connection: Connection, shared: Shared | None) -> None:
    if shared is None:
        return
    try:
        shared.settle(connection)
    except SkepError as exc:
        raise _LostBatchError from exc
    except DRIVER_ERRORS as exc:
        if not ruins_batch(exc):
            # Each unit can still do its part by itself: nobody else would notice what is wrong here.
            logger.warning("what units share cannot be done at once", exc_info=True)
        raise


def _unknown(exc: Exception) -> UnknownOutcomeError:
    return UnknownOutcomeError(
        "the connection to the database broke while the change was being committed",
        hint="Repeat the request with the same Idempotency-Key.",
        retry_after_s=1.0,
        inside=str(driver_error(exc)).strip(),
    )


def _fail(units: list[Unit], error: Exception) -> None:
    for unit in units:
        unit.reset()
        unit.error, unit.answered = error, True


def _answer(batch: list[Unit]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[Unit]] = {}
    for unit in batch:
        for action in unit.actions:
            try:
                action()
            except Exception:
                logger.exception("an action after a commit failed")
        loops.setdefault(unit.loop, []).append(unit)
    for loop, units in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, units)
        except RuntimeError:
            logger.warning("nobody is left to hear of %d committed units", len(units))


def _resolve(units: list[Unit]) -> None:
    for unit in units:
        if unit.future.done():
            continue
        if unit.error is None:
            unit.future.set_result(unit.result)
        else:
            unit.future.set_exception(unit.error)
