"""The only module that names concrete classes: settings in, application out."""

import asyncio
import fcntl
import logging
import os
import platform
import shutil
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from skep.adapters.blobs.blobs import FolderBlobs
from skep.adapters.blobs.logs import FolderLogs
from skep.adapters.drivers.oci.driver import OciDriver
from skep.adapters.drivers.oci.keeper import KeeperClient
from skep.adapters.keys.sealer import KeyFileSealer
from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import Stores, make_stores
from skep.edge.api.app import make_api
from skep.edge.api.services import Figures, Services
from skep.kernel import log as logs
from skep.kernel.clock import SystemClock, to_ms
from skep.kernel.database import Tx
from skep.kernel.errors import ConflictError, FencedError, SkepError
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.kernel.secret import Secret
from skep.kernel.settings import MIB, Settings
from skep.library import frameworks
from skep.product.access.retention import AccessRetention
from skep.product.access.service import AccessService
from skep.product.agents.model import Kind
from skep.product.agents.options import agent_limits
from skep.product.agents.ports import VersionListener
from skep.product.agents.retention import VersionRetention
from skep.product.agents.service import AgentService
from skep.product.blobs.space import Space
from skep.product.blobs.sweep import Files, Sweep
from skep.product.gateway.resolver import SystemResolver
from skep.product.images import builder as builds
from skep.product.images.builder import Builder
from skep.product.images.layers import LayerRetention, Shelf
from skep.product.images.options import build_options
from skep.product.images.ports import BuildListener
from skep.product.images.retention import ImageRetention
from skep.product.images.service import BUILDS_KEY, ImageService
from skep.product.nodes.model import NodeStart
from skep.product.nodes.service import NodeService
from skep.product.runs import queue as run_queue
from skep.product.runs.jobs import JobExecutor
from skep.product.runs.options import run_limits
from skep.product.runs.ports import Executor
from skep.product.runs.queue import RunQueue
from skep.product.runs.records import Records
from skep.product.runs.retention import RunRetention
from skep.product.runs.service import RunService
from skep.product.sandboxes.doctor import Doctor
from skep.product.sandboxes.service import SandboxService
from skep.product.secrets.service import SecretService
from skep.product.work.model import WorkLimits
from skep.product.work.ports import Handler
from skep.product.work.retention import WorkRetention
from skep.product.work.service import WorkService

log = logging.getLogger(__name__)

_HEARTBEAT_S = 5.0
_RECONCILE_S = 30.0
_RETENTION_S = 600.0
_GRACEFUL_S = 5
_SWEEP_S = 3_600.0
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
#: Exit status of a server that cannot start: the launcher shows the last words of its log.
_CANNOT_START = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything that one server process is made of."""

    settings: Settings
    api: Any
    services: Services
    #: What runs for as long as the server does; the end of any of them ends the server.
    loops: Mapping[str, Callable[[], Coroutine[Any, Any, None]]]


@asynccontextmanager
async def application(settings: Settings, redactor: logs.Redactor | None = None) -> AsyncGenerator[Application]:
    """Hold a whole server, assembled from *settings*, without serving or working yet.

    Raises:
        ConflictError: another server works on the same data folder.
        UnavailableError: the database is away.
    """
    redactor = redactor or logs.Redactor()
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _held(settings.state_dir / "server.lock"):
        async with SqlDatabase.open(_place(settings)) as db:
            await db.migrate()
            hub = Hub()
            hub.bind(asyncio.get_running_loop())
            yield await _assemble(settings, db, hub, redactor)


async def _assemble(settings: Settings, db: SqlDatabase, hub: Hub, redactor: logs.Redactor) -> Application:
    clock, ids = SystemClock(), IdSource()
    stores = make_stores(db.dialect, lambda: to_ms(clock.now()))
    nodes = NodeService(db, stores.nodes, clock, ids)
    started = await nodes.start(_node_name(settings), _boot_id(), partial(_give_up_leases, stores))
    node_id = started.node.id

    driver = OciDriver(KeeperClient(settings.keeper_socket))
    blobs, run_logs = FolderBlobs(settings.state_dir / "blobs"), FolderLogs(settings.state_dir / "logs", hub)
    sealer = KeyFileSealer.at(settings.state_dir / "key")
    access = AccessService(db, stores.access, stores.audit, clock, ids)
    secrets = SecretService(db, stores.secrets, sealer, access, clock, ids, redactor)
    sandboxes = SandboxService(db, stores.sandboxes, driver, node_id)

    handlers: dict[str, Handler] = {}
    build_listeners: list[BuildListener] = []
    version_listeners: list[VersionListener] = []
    work = WorkService(
        db,
        stores.work,
        hub,
        clock,
        ids,
        owner=started.node.incarnation,
        node_id=node_id,
        handlers=handlers,
        limits=_work_limits(settings),
    )
    options = build_options(settings, uv_version=_version_of("uv"))
    images = ImageService(
        db=db,
        store=stores.images,
        sandboxes=stores.sandboxes,
        queue=work,
        blobs=blobs,
        logs=run_logs,
        listeners=build_listeners,
        clock=clock,
        ids=ids,
        hub=hub,
        options=options,
        space=Space(
            free_bytes=lambda: shutil.disk_usage(settings.state_dir).free,
            least_bytes=settings.min_free_disk_mb * MIB,
        ),
    )
    agents = AgentService(
        db,
        stores.agents,
        stores.images,
        images,
        access,
        clock,
        ids,
        agent_limits(settings),
        listeners=version_listeners,
        check_source=images.check,
    )
    limits = run_limits(settings)
    records = Records(
        db=db,
        runs=stores.runs,
        agents=stores.agents,
        images=stores.images,
        sandboxes=stores.sandboxes,
        work=stores.work,
        access=access,
        hub=hub,
        clock=clock,
        ids=ids,
        node_id=node_id,
    )
    restarted_ms = started.node.started_ms if started.rebooted else 0
    jobs = JobExecutor(records, driver, run_logs, blobs, secrets, limits, restarted_ms)
    executors: dict[Kind, Executor] = {Kind.JOB: jobs}
    queue = RunQueue(db, stores.runs, stores.agents, stores.images, work, stores.work, hub, clock, executors)
    runs = RunService(
        db=db,
        store=stores.runs,
        agents=stores.agents,
        images=stores.images,
        queue=queue,
        access=access,
        logs=run_logs,
        blobs=blobs,
        hub=hub,
        clock=clock,
        ids=ids,
        executors=executors,
        limits=limits,
        free_bytes=lambda: shutil.disk_usage(settings.state_dir).free,
    )
    shelf = Shelf()
    builder = Builder(
        db=db,
        stores=stores,
        driver=driver,
        logs=run_logs,
        blobs=blobs,
        frameworks=frameworks.load(limits=agent_limits(settings)),
        listeners=build_listeners,
        resolver=SystemResolver(),
        clock=clock,
        ids=ids,
        hub=hub,
        node_id=node_id,
        options=options,
        shelf=shelf,
    )
    handlers |= {run_queue.KIND: queue, builds.KIND: builder}
    build_listeners.append(agents)
    version_listeners.append(queue)

    doctor = Doctor(
        driver=driver,
        sandboxes=sandboxes,
        state_dir=settings.state_dir,
        min_free_bytes=settings.min_free_disk_mb * MIB,
        check_database=lambda: _check_database(db, stores),
    )
    files = Files(logs=run_logs, blobs=blobs)
    layers = LayerRetention(db, stores.images, driver, shelf, clock, node_id=node_id)
    prunes = {**_retention(db, stores, settings, files, clock), "layers": layers.prune}
    sweep = Sweep(db, files, (stores.runs, stores.images), clock)
    services = Services(
        db=db,
        clock=clock,
        access=access,
        secrets=secrets,
        agents=agents,
        images=images,
        runs=runs,
        doctor=doctor,
        answers=stores.idempotency,
        sealer=sealer,
        figures=lambda: _figures(db, stores),
    )
    await access.first_token(lambda token: _write_token(settings.admin_token_file, token))
    return Application(
        settings=settings,
        api=make_api(services, settings, clock),
        services=services,
        loops={
            "work": work.run,
            "heartbeat": lambda: _heartbeat(nodes),
            "reconcile": lambda: _every(_RECONCILE_S, lambda: sandboxes.reconcile(sweep=True)),
            "sweep": partial(_every, _SWEEP_S, sweep.sweep),
            **{f"retention of {noun}": partial(_every, _RETENTION_S, prune) for noun, prune in prunes.items()},
        },
    )


# ---- limits, from the operator's words


def _work_limits(settings: Settings) -> WorkLimits:
    return WorkLimits(
        total=min(settings.max_sandboxes, settings.max_runs + settings.max_builds),
        keys={run_queue.ALL_KEY: settings.max_runs, BUILDS_KEY: settings.max_builds},
        key_defaults={"project": settings.max_runs_per_project},
    )


# ---- this machine


def _place(settings: Settings) -> str | Path:
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return settings.state_dir / "skep.db"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _give_up_leases(stores: Stores, tx: Tx, started: NodeStart) -> None:
    """Take back what the server's life before held: the lock on the data folder says that it is over."""
    if started.previous is not None:
        stores.work.release_owner(tx, [started.previous.incarnation])


def _node_name(settings: Settings) -> str:
    """Return the name under which this data folder's machine is known, whatever its host name becomes."""
    place = settings.state_dir / "node"
    if not place.exists():
        keep_file(place, f"{platform.node()}-{IdSource().new('nod', to_ms(SystemClock().now()))[-8:]}\n")
    return place.read_text().strip()


def _write_token(place: Path, token: Secret[str]) -> None:
    """Keep the first token for the command line of the user who started Skep; the launcher made the file."""
    keep_file(place, token.reveal() + "\n")


def keep_file(place: Path, text: str) -> None:
    """Write a small file of the owner's alone, in place (its folder may not be ours), and sync it."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _held(place: Path) -> Generator[None]:
    """Hold the lock that says: one server for this data folder."""
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"Another server works on {place.parent}.",
                code="already_running",
                hint="Stop it first (skep down), or give this one a --data-dir of its own.",
            ) from error
        yield
    finally:
        os.close(descriptor)


# ---- what runs for as long as the server does


async def _heartbeat(nodes: NodeService) -> None:
    while True:
        try:
            await nodes.heartbeat()
        except FencedError:
            raise
        except SkepError as error:
            log.warning("the heartbeat was not written", extra={"why": str(error)})
        await asyncio.sleep(_HEARTBEAT_S)


async def _every(period_s: float, action: Callable[[], Awaitable[object]]) -> None:
    """Do *action* now and then; what it cannot do this time it can do the next."""
    while True:
        try:
            await action()
        except SkepError as error:
            log.warning("housekeeping will be tried again", extra={"why": str(error)})
        except Exception:
            log.exception("housekeeping failed")
        await asyncio.sleep(period_s)


def _retention(
    db: SqlDatabase, stores: Stores, settings: Settings, files: Files, clock: SystemClock
) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return, per noun, what deletes the rows that were kept long enough, and their files."""
    keep_ms = round(settings.keep_runs_days * _DAY_MS)
    access = AccessRetention(
        db,
        stores.audit,
        stores.idempotency,
        clock,
        keep_audit_ms=round(settings.keep_audit_days * _DAY_MS),
        keep_answers_ms=round(settings.idempotency_hours * _HOUR_MS),
    )
    return {
        "runs": RunRetention(db, stores.runs, files, clock, keep_ms=keep_ms).prune,
        "versions": VersionRetention(db, stores.agents, clock, keep_ms=keep_ms).prune,
        "images": ImageRetention(db, stores.images, files, clock, keep_ms=keep_ms).prune,
        "access": access.prune,
        "work": WorkRetention(db, stores.work, clock).prune,
    }


async def _check_database(db: SqlDatabase, stores: Stores) -> str:
    await db.write(stores.nodes.all)  # a transaction without a statement never comes to the server
    return f"{db.dialect} answers"


async def _figures(db: SqlDatabase, stores: Stores) -> Figures:
    return {"skep_work_items": await db.read(stores.work.counts)}


def _version_of(package: str) -> str:
    return metadata.version(package)


# ---- serving


def serve(settings: Settings, listening: socket.socket | None = None) -> None:
    """Be the server until SIGTERM, on *listening*, or on the settings' own address."""
    redactor = logs.Redactor()
    logs.configure(settings.log_level, redactor)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listening, redactor))
    except SkepError as error:
        log.critical(error.message, extra={"code": error.code, "hint": error.hint})
        sys.exit(_CANNOT_START)


async def _serve(settings: Settings, listening: socket.socket | None, redactor: logs.Redactor) -> None:
    async with application(settings, redactor) as app:
        server = _Server(app)
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(loop(), name=name) for name, loop in app.loops.items()]
            await server.serve(sockets=[listening] if listening else None)
            for task in loops:
                task.cancel()


class _Server(uvicorn.Server):
    """uvicorn, which ends the open streams before it waits for its connections."""

    def __init__(self, app: Application) -> None:
        settings = app.settings
        super().__init__(
            uvicorn.Config(
                app.api,
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
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving: readers of streams are sent away first, they resume at the next server."""
        self._app.api.state.streams.end_all()
        await super().shutdown(sockets)
