"""The database of one installation: SQLite in a file, or PostgreSQL by URL."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from skep.adapters.storage.callouts import Callouts
from skep.adapters.storage.dialect import Dialect
from skep.adapters.storage.engine import READERS, dialect_of, make_engine
from skep.adapters.storage.errors import is_away, is_conflict, translated
from skep.adapters.storage.mapper import on
from skep.adapters.storage.migrate import migrate
from skep.adapters.storage.writer import Unit, Writer, add_action, add_topic
from skep.kernel.database import Tx
from skep.kernel.events import Hub

T = TypeVar("T")


class SqlDatabase:
    """Implements `kernel.database.Database`: group commit on one writer thread, a few reader threads."""

    def __init__(self, place: str | Path) -> None:
        self.place = place
        self.dialect: Dialect = dialect_of(place)
        self._write_engine = make_engine(place, readonly=False)
        self._read_engine = make_engine(place, readonly=True)
        self._callouts = Callouts(str(place)) if self.dialect == "postgresql" else None
        self._writer = Writer(self._write_engine, self._callouts)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="skep-db-reader")

    @classmethod
    @asynccontextmanager
    async def open(cls, place: str | Path) -> "AsyncGenerator[SqlDatabase]":
        """Hold the database at *place* (an SQLite file's path, or postgresql://...) open.

        It need not be there yet: connections are made when they are needed, and made again when they break.
        """
        database = cls(place)
        database._writer.start()
        try:
            yield database
        finally:
            await asyncio.to_thread(database._close)

    def _close(self) -> None:
        self._writer.stop()
        self._readers.shutdown()
        self._read_engine.dispose()
        self._write_engine.dispose()

    async def migrate(self) -> None:
        """Bring the tables to this version's form; two servers that start together do not disturb each other.

        Raises:
            UnavailableError: the database is away, or busy for too long.
            ConflictError: the tables are those of a newer version.
        """
        await asyncio.to_thread(migrate, self._write_engine, self.dialect)

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in a transaction and commit it before returning; see `Database.write`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._writer.submit(Unit(work, future, loop))
        return await future

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in a read transaction on a reader thread: one snapshot, and nothing can be changed."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[Tx], T]) -> T:
        with translated():
            try:
                return _read_once(self._read_engine, work)
            except DBAPIError as exc:
                # A connection that broke while it lay idle: reading again, on a new one, is harmless.
                if not (is_away(exc) or is_conflict(exc)):
                    raise
                return _read_once(self._read_engine, work)

    def after_commit(self, tx: Tx, action: Callable[[], Any]) -> None:
        """Call *action* in the writer's thread soon after *tx* has been committed; never if it is rolled back."""
        add_action(on(tx), action)

    def tell_others(self, tx: Tx, topic: str) -> None:
        """Have *topic* notified in other servers on this PostgreSQL when *tx* has been committed."""
        add_topic(on(tx), topic)

    async def hear_others(self, hub: Hub) -> None:
        """Notify in *hub* what other servers on this PostgreSQL announce, until cancelled; an SQLite has one server."""
        if self._callouts is None:
            await asyncio.Event().wait()
        else:
            await self._callouts.hear(hub)


def _read_once(engine: Engine, work: Callable[[Tx], T]) -> T:
    with engine.connect() as connection, connection.begin():
        return work(cast("Tx", connection))
