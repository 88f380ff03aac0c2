"""What is built from what: each noun's services, in the order in which they need each other."""

from dataclasses import dataclass
from importlib import metadata

from skep.assembly.base import Base
from skep.assembly.care import make_catalogue
from skep.assembly.repositories import Watching, make_keyring, make_watching
from skep.kernel.settings import MIB, Settings
from skep.library import frameworks
from skep.product.access.service import AccessService
from skep.product.agents import watch
from skep.product.agents.model import Kind
from skep.product.agents.options import agent_limits
from skep.product.agents.ports import VersionListener
from skep.product.agents.service import AgentService
from skep.product.blobs.space import Space
from skep.product.gateway.resolver import SystemResolver
from skep.product.images import builder as builds
from skep.product.images.builder import Builder
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.layers.catalogue import Catalogue
from skep.product.images.layers.clearing import Clearing, Shelf
from skep.product.images.options import build_options
from skep.product.images.ports import BuildListener
from skep.product.images.service import BUILDS_KEY, ImageService
from skep.product.runs import queue as run_queue
from skep.product.runs.answering import AnswerService
from skep.product.runs.asking import Asking
from skep.product.runs.jobs import JobExecutor
from skep.product.runs.options import run_limits
from skep.product.runs.ports import Executor
from skep.product.runs.queue import RunQueue
from skep.product.runs.records import Records
from skep.product.runs.service import RunService
from skep.product.sandboxes.doctor import Doctor
from skep.product.sandboxes.service import SandboxService
from skep.product.secrets.service import SecretService
from skep.product.work.model import WorkLimits
from skep.product.work.ports import Handler
from skep.product.work.service import WorkService


@dataclass(frozen=True, slots=True, kw_only=True)
class Nouns:
    """The services of all nouns."""

    access: AccessService
    secrets: SecretService
    sandboxes: SandboxService
    doctor: Doctor
    work: WorkService
    keyring: Keyring
    images: ImageService
    #: What removes layers that nobody needs.
    clearing: Clearing
    catalogue: Catalogue
    agents: AgentService
    watching: Watching
    runs: RunService
    answers: AnswerService


@dataclass(frozen=True, slots=True)
class _Wires:
    """Who is told of what: services take these before those who listen are made."""

    #: Kind of work -> who does it.
    handlers: dict[str, Handler]
    build_listeners: list[BuildListener]
    version_listeners: list[VersionListener]


def make_nouns(base: Base) -> Nouns:
    """Make every service, and have those listen that are told of the others' doings."""
    wires = _Wires({}, [], [])
    access = AccessService(base.db, base.stores.access, base.stores.audit, base.clock, base.ids)
    secrets = SecretService(base.db, base.stores.secrets, base.sealer, access, base.clock, base.ids, base.redactor)
    sandboxes = SandboxService(base.db, base.stores.sandboxes, base.driver, base.node_id)
    work = _work(base, wires)
    keyring = make_keyring(base, access, secrets)
    images = _images(base, work, keyring, wires)
    shelf = Shelf()
    clearing = Clearing(base.db, base.stores.images, base.driver, shelf, node_id=base.node_id)
    builder = _builder(base, shelf, keyring, wires)
    agents = _agents(base, images, access, wires)
    watching = make_watching(base, access, images, work, keyring)
    executors: dict[Kind, Executor] = {Kind.JOB: _jobs(base, access, secrets, work)}
    queue = _queue(base, work, executors)
    runs = _runs(base, queue, access, executors)

    wires.handlers.update({run_queue.KIND: queue, builds.KIND: builder, watch.KIND: watching.watch})
    wires.build_listeners.append(agents)
    wires.version_listeners.append(queue)
    return Nouns(
        access=access,
        secrets=secrets,
        sandboxes=sandboxes,
        doctor=_doctor(base, sandboxes),
        work=work,
        keyring=keyring,
        images=images,
        clearing=clearing,
        catalogue=make_catalogue(base, clearing, access),
        agents=agents,
        watching=watching,
        runs=runs,
        answers=AnswerService(
            base.db, base.stores.runs, base.stores.questions, base.stores.work, access, base.hub, base.clock
        ),
    )


def _work(base: Base, wires: _Wires) -> WorkService:
    return WorkService(
        base.db,
        base.stores.work,
        base.hub,
        base.clock,
        base.ids,
        owner=base.node.incarnation,
        node_id=base.node_id,
        handlers=wires.handlers,
        limits=_work_limits(base.settings),
    )


def _work_limits(settings: Settings) -> WorkLimits:
    total = min(settings.max_sandboxes, settings.max_runs + settings.max_builds)
    return WorkLimits(
        total=total,
        resting=settings.max_sandboxes - total,  # what rests keeps its sandbox
        keys={
            run_queue.ALL_KEY: settings.max_runs,
            BUILDS_KEY: settings.max_builds,
            watch.POLLS_KEY: settings.max_builds,
        },
        key_defaults={
            "project": settings.max_runs_per_project,
            BUILDS_KEY: settings.max_builds_per_project,
            watch.POLLS_KEY: settings.max_builds_per_project,
        },
    )


def _doctor(base: Base, sandboxes: SandboxService) -> Doctor:
    async def check_database() -> str:
        await base.db.write(base.stores.nodes.all)  # a transaction without a statement never comes to the server
        return f"{base.db.dialect} answers"

    return Doctor(
        driver=base.driver,
        sandboxes=sandboxes,
        state_dir=base.settings.state_dir,
        min_free_bytes=base.settings.min_free_disk_mb * MIB,
        check_database=check_database,
    )


# ---- images


def _images(base: Base, work: WorkService, keyring: Keyring, wires: _Wires) -> ImageService:
    return ImageService(
        db=base.db,
        store=base.stores.images,
        sandboxes=base.stores.sandboxes,
        queue=work,
        blobs=base.blobs,
        logs=base.logs,
        listeners=wires.build_listeners,
        clock=base.clock,
        ids=base.ids,
        hub=base.hub,
        options=build_options(base.settings, uv_version=metadata.version("uv")),
        keyring=keyring,
        space=Space(free_bytes=base.free_bytes, least_bytes=base.settings.min_free_disk_mb * MIB),
    )


def _builder(base: Base, shelf: Shelf, keyring: Keyring, wires: _Wires) -> Builder:
    return Builder(
        db=base.db,
        stores=base.stores,
        driver=base.driver,
        logs=base.logs,
        blobs=base.blobs,
        frameworks=frameworks.load(limits=agent_limits(base.settings)),
        listeners=wires.build_listeners,
        resolver=SystemResolver(),
        clock=base.clock,
        ids=base.ids,
        hub=base.hub,
        node_id=base.node_id,
        options=build_options(base.settings, uv_version=metadata.version("uv")),
        shelf=shelf,
        keyring=keyring,
        mirrors=base.mirrors,
        runtimes=base.runtimes,
    )


# ---- agents


def _agents(base: Base, images: ImageService, access: AccessService, wires: _Wires) -> AgentService:
    return AgentService(
        base.db,
        base.stores.agents,
        base.stores.images,
        images,
        access,
        base.clock,
        base.ids,
        agent_limits(base.settings),
        listeners=wires.version_listeners,
        check_source=images.check,
    )


# ---- runs


def _jobs(base: Base, access: AccessService, secrets: SecretService, work: WorkService) -> JobExecutor:
    records = Records(
        db=base.db,
        runs=base.stores.runs,
        agents=base.stores.agents,
        images=base.stores.images,
        sandboxes=base.stores.sandboxes,
        work=base.stores.work,
        access=access,
        hub=base.hub,
        clock=base.clock,
        ids=base.ids,
        node_id=base.node_id,
    )
    limits = run_limits(base.settings)
    asking = Asking(
        base.db,
        base.stores.runs,
        base.stores.questions,
        base.stores.work,
        base.hub,
        base.clock,
        base.ids,
        queue=work,
        most_s=limits.ask_timeout_s,
    )
    restarted_ms = base.node.started_ms if base.started.rebooted else 0
    return JobExecutor(records, base.driver, base.logs, base.blobs, secrets, limits, asking, base.hub, restarted_ms)


def _queue(base: Base, work: WorkService, executors: dict[Kind, Executor]) -> RunQueue:
    stores = base.stores
    return RunQueue(
        base.db, stores.runs, stores.agents, stores.images, work, stores.work, base.hub, base.clock, executors
    )


def _runs(base: Base, queue: RunQueue, access: AccessService, executors: dict[Kind, Executor]) -> RunService:
    return RunService(
        db=base.db,
        store=base.stores.runs,
        agents=base.stores.agents,
        images=base.stores.images,
        queue=queue,
        access=access,
        logs=base.logs,
        blobs=base.blobs,
        hub=base.hub,
        clock=base.clock,
        ids=base.ids,
        executors=executors,
        limits=run_limits(base.settings),
        free_bytes=base.free_bytes,
    )
