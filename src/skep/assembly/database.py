"""The wait for a database that is not there yet: after a boot it may come up later than Skep."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.reach import final, place_of
from skep.kernel.errors import UnavailableError
from skep.kernel.settings import Settings

log = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0


@asynccontextmanager
async def opened(
    settings: Settings, meanwhile: Callable[[], AbstractAsyncContextManager[None]]
) -> AsyncGenerator[SqlDatabase]:
    """Hold the database open, with this version's tables; for as long as it is awaited *meanwhile* is held as well.

    Raises:
        InvalidError: what the settings say is no database's address.
        UnavailableError: it is away, and waiting cannot help.
        ConflictError: its tables are those of a newer version.
    """
    url = settings.database_url.get_secret_value() if settings.database_url is not None else None
    async with SqlDatabase.open(place_of(url, settings.state_dir / "skep.db")) as db:
        async with AsyncExitStack() as waiting:
            await _arrival(db, waiting, meanwhile)
        yield db


async def _arrival(
    db: SqlDatabase, waiting: AsyncExitStack, meanwhile: Callable[[], AbstractAsyncContextManager[None]]
) -> None:
    wait_s, said = _FIRST_WAIT_S, ""
    while (error := await _missing(db)) is not None:
        if not said:
            await waiting.enter_async_context(meanwhile())
        if str(error) != said:
            said = str(error)
            hint = "Start it, or correct SKEP_DATABASE_URL and start Skep again." if db.dialect == "postgresql" else ""
            log.warning("waiting for the database", extra={"why": said, "hint": hint or error.hint})
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
    if said:
        log.info("the database answers now")


async def _missing(db: SqlDatabase) -> UnavailableError | None:
    """Return why the database is not there yet, or None when its tables are as they should be."""
    try:
        await db.migrate()
    except UnavailableError as error:
        if (refusal := final(db.dialect, error)) is not None:
            raise refusal from error
        return error
    return None
