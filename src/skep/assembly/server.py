"""The server's process: it waits for its database, serves, and works, until SIGTERM.

Its end has an order, in which nobody misses what is closed before: answers, loops, what is still to be written, the
database, the data folder's lock. It is a courtesy: at every moment SIGKILL is as good.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import uvicorn
import uvloop

from skep.assembly import machine
from skep.assembly.application import Application, make_application
from skep.assembly.database import opened
from skep.edge.api.waiting import Waiting
from skep.edge.dialects.spoken import worded
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
    except asyncio.CancelledError:
        log.info("told to end before anything was served")
    log.info("the server has ended")


async def _serve(settings: Settings, listening: socket.socket | None, redactor: logs.Redactor) -> None:
    task = asyncio.current_task()
    assert task is not None, "the runner makes one"
    _when_told_to_end(task.cancel)
    hub = Hub()
    hub.bind(asyncio.get_running_loop())
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with machine.held(settings.state_dir):
        listening = listening or _config(settings, None).bind_socket()
        async with opened(settings, partial(_waiting, settings, listening)) as db:
            await _live(await make_application(settings, db, hub, redactor), listening)
            log.info("closing the database")


def _when_told_to_end(action: Callable[[], object]) -> None:
    """Do *action* at SIGTERM and SIGINT, in place of what was done before."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, action)


async def _live(app: Application, listening: socket.socket) -> None:
    server = _Server(app)
    _when_told_to_end(server.end)
    async with asyncio.TaskGroup() as group:
        loops = [group.create_task(loop(), name=name) for name, loop in app.loops.items()]
        await server.serve(sockets=[listening])
        log.info("nothing is served any more: the loops end")
        for task in loops:
            task.cancel()
    await app.end()


@asynccontextmanager
async def _waiting(settings: Settings, listening: socket.socket) -> AsyncGenerator[None]:
    """Answer on *listening* that the database is awaited; who comes at the end of it waits in the socket's queue."""
    server = _Serving(_config(settings, worded(Waiting())))
    serving = asyncio.create_task(server.serve(sockets=[listening.dup()]))
    try:
        yield
    finally:
        server.end()
        await serving


class _Serving(uvicorn.Server):
    """uvicorn, which leaves signals to the process: it would let them end it as soon as nothing is served."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield

    def end(self) -> None:
        """Have the serving end soon."""
        self.should_exit = True


class _Server(_Serving):
    """uvicorn, which ends the open streams before it waits for its connections."""

    def __init__(self, app: Application) -> None:
        super().__init__(_config(app.settings, app.api))
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving: readers of streams are sent away first, they resume at the next server."""
        log.info("told to end: no more requests are taken")
        self._app.api.state.streams.end_all()
        await super().shutdown(sockets)


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
