"""The server's process: it waits for its database, serves, and works, until SIGTERM."""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
import uvloop

from skep.assembly import machine
from skep.assembly.application import Application, make_application
from skep.assembly.database import opened
from skep.edge.api.waiting import Waiting
from skep.kernel import log as logs
from skep.kernel.errors import SkepError, UnavailableError
from skep.kernel.events import Hub
from skep.kernel.settings import Settings

log = logging.getLogger(__name__)

_GRACEFUL_S = 5
#: Exit statuses of a server that cannot start (sysexits.h): the launcher shows the last words of its log, and tries
#: again only after the second.
_CANNOT_START, _TRY_AGAIN = 78, 75


def serve(settings: Settings, listening: socket.socket | None = None) -> None:
    """Be the server until SIGTERM, on *listening*, or on the settings' own address."""
    redactor = logs.Redactor()
    logs.configure(settings.log_level, redactor)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listening, redactor))
    except SkepError as error:
        log.critical(str(error), extra={"code": error.code, "hint": error.hint})
        away = isinstance(error, UnavailableError) and error.code == "database_unavailable"
        sys.exit(_TRY_AGAIN if away else _CANNOT_START)


async def _serve(settings: Settings, listening: socket.socket | None, redactor: logs.Redactor) -> None:
    hub = Hub()
    hub.bind(asyncio.get_running_loop())
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with machine.held(settings.state_dir):
        listening = listening or _config(settings, None).bind_socket()
        async with opened(settings, partial(_waiting, settings, listening)) as db:
            await _live(await make_application(settings, db, hub, redactor), listening)


async def _live(app: Application, listening: socket.socket) -> None:
    server = _Server(app)
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(loop(), name=name) for name, loop in app.loops.items()]
        await server.serve(sockets=[listening])
        for task in loops:
            task.cancel()


@asynccontextmanager
async def _waiting(settings: Settings, listening: socket.socket) -> AsyncGenerator[None]:
    """Answer on *listening* that the database is awaited; who comes at the end of it waits in the socket's queue."""
    server = uvicorn.Server(_config(settings, Waiting()))
    serving = asyncio.create_task(server.serve(sockets=[listening.dup()]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """uvicorn, which ends the open streams before it waits for its connections."""

    def __init__(self, app: Application) -> None:
        super().__init__(_config(app.settings, app.api))
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving: readers of streams are sent away first, they resume at the next server.

        This is the process's last word: after it uvicorn gives the process the signal that it was ended by.
        """
        self._app.api.state.streams.end_all()
        await super().shutdown(sockets)
        await self._app.end()


def _config(settings: Settings, app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACEFUL_S,
        timeout_keep_alive=75,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        h11_max_incomplete_event_size=64 * 1024,
    )
