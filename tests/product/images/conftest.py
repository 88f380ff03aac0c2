"""A server's part that builds, on a real database and real logs, over whatever driver a test brings."""

import asyncio
import contextlib
import platform
import ssl
from collections.abc import AsyncGenerator
from dataclasses import replace
from importlib.metadata import version

import pytest

from skep.adapters.blobs.blobs import FolderBlobs
from skep.adapters.blobs.logs import FolderLogs
from skep.adapters.blobs.packages import FolderPackages
from skep.adapters.drivers.oci.driver import OciDriver
from skep.adapters.drivers.oci.keeper import KeeperClient
from skep.adapters.keys.sealer import KeyFileSealer
from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import make_stores
from skep.kernel.clock import SystemClock, to_ms
from skep.kernel.settings import Settings
from skep.library.frameworks import load
from skep.library.runtimes import Installed
from skep.library.runtimes.node import nodes
from skep.product.access.model import Principal, ProjectId, Scope, TokenId
from skep.product.access.service import AccessService
from skep.product.gateway.mirror.sites import Mirrors
from skep.product.gateway.model import Policy
from skep.product.gateway.resolver import SystemResolver
from skep.product.gateway.upstream import Upstream
from skep.product.images.builder import Builder
from skep.product.images.fetch.host_keys import KnownHosts
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.layers.clearing import Shelf
from skep.product.images.model import Build, BuildStatus, Image, Source
from skep.product.images.options import build_options
from skep.product.images.service import ImageService
from skep.product.secrets.service import SecretService
from skep.product.work.model import WorkLimits, WorkTiming
from skep.product.work.service import WorkService
from skep.testing.keeper import start_keeper
from skep.testing.wait import until


class Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.ended: list[tuple[Build, Image | None]] = []

    def build_ended(self, tx, build: Build, image: Image | None) -> None:
        """Remember it."""
        self.ended.append((build, image))


class Rig:
    """Services of one server life after another on the same database."""

    def __init__(self, db, hub, ids, folder, driver, **settings) -> None:
        self.db, self.hub, self.ids, self.driver = db, hub, ids, driver
        self.clock = SystemClock()
        self.stores = make_stores(db.dialect, lambda: to_ms(self.clock.now()))
        self.logs = FolderLogs(folder / "logs", hub)
        self.blobs = FolderBlobs(folder / "blobs")
        self.listener = Listener()
        self.options = build_options(Settings(**settings), uv_version=version("uv"))
        self.principal = Principal(
            token_id=TokenId("t"), name="t", project_id=ProjectId("prj_1"), scopes=frozenset({Scope.ADMIN})
        )
        self.shelf = Shelf()
        access = AccessService(db, self.stores.access, self.stores.audit, self.clock, ids)
        self.secrets = SecretService(db, self.stores.secrets, KeyFileSealer.at(folder / "key"), access, self.clock, ids)
        self.keyring = Keyring(
            db=db, store=self.stores.host_keys, secrets=self.secrets, secret_rows=self.stores.secrets, access=access,
            clock=self.clock, known=KnownHosts(), leave=self.options.leave,
        )  # fmt: skip
        self.packages = FolderPackages(folder / "packages", self.clock, limit_bytes=1 << 30, keep_s=86_400)
        self.mirrors: Mirrors
        self.runtimes = Installed((), nodes(platform.machine()))
        self.lives = 0
        self.limits = WorkLimits()
        #: The machine that its lives are on.
        self.node = "node"
        self.images: ImageService
        self.work: WorkService
        self.builder: Builder

    @contextlib.asynccontextmanager
    async def life(self, **options) -> AsyncGenerator[None]:
        """Live as a server; at the end die as by SIGKILL: nothing is written any more."""
        self.lives += 1
        owner = f"life {self.lives}"
        chosen = replace(self.options, **options)
        common = {"db": self.db, "logs": self.logs, "blobs": self.blobs, "clock": self.clock, "ids": self.ids}
        self.mirrors = self._mirrors()
        self.builder = Builder(
            **common,
            stores=self.stores,
            driver=self.driver,
            frameworks=load([]),
            listeners=[self.listener],
            resolver=SystemResolver(),
            hub=self.hub,
            node_id=self.node,
            options=chosen,
            shelf=self.shelf,
            keyring=self.keyring,
            mirrors=self.mirrors,
            runtimes=self.runtimes,
        )
        work = WorkService(
            self.db, self.stores.work, self.hub, self.clock, self.ids, owner=owner, node_id=self.node,
            handlers={"build": self.builder}, limits=self.limits, timing=WorkTiming(poll_s=0.1),
        )  # fmt: skip
        self.work = work
        self.images = ImageService(
            **common,
            store=self.stores.images,
            sandboxes=self.stores.sandboxes,
            queue=work,
            listeners=[self.listener],
            hub=self.hub,
            options=chosen,
            keyring=self.keyring,
        )
        await self.db.write(lambda tx: self.stores.work.release_owner(tx, [f"life {self.lives - 1}"]))
        task = asyncio.create_task(work.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.mirrors.close()

    def _mirrors(self) -> Mirrors:
        hosts = self.options.index_hosts
        policy = Policy(allow=hosts, internal=hosts, private=self.options.allow_private)
        tls = ssl.create_default_context()
        upstream = Upstream(policy, SystemResolver(), self.clock, self.options.indexes.logins, tls)
        return Mirrors(self.options.indexes, upstream, self.packages, self.clock)

    async def begin(self, source: Source, command: tuple[str, ...] = (), *, project_id: str = "prj_1") -> Build:
        """Begin a build."""
        return await self.db.write(
            lambda tx: self.images.begin(tx, project_id=project_id, agent_id="agt_1", source=source, command=command)
        )

    async def look(self, build: Build) -> Build:
        """Return the build as it stands."""
        return await self.images.build(self.principal, build.id)

    async def ended(self, build: Build, timeout_s: float = 60) -> Build:
        """Wait for the build's end."""

        async def over() -> bool:
            return (await self.look(build)).status not in (BuildStatus.QUEUED, BuildStatus.RUNNING)

        await until(over, timeout_s, what="the end of the build")
        return await self.look(build)

    async def built(self, source: Source, command: tuple[str, ...] = ()) -> Build:
        """Begin a build and wait for its end."""
        return await self.ended(await self.begin(source, command))

    async def log_of(self, build: Build) -> str:
        """Return the whole log."""
        frames = await self.images.log(self.principal, build.id)
        return b"".join(frame.data for frame in frames).decode()

    async def image_of(self, build: Build) -> Image:
        """Return what was built."""
        return await self.images.image(self.principal, build.image_id)

    async def nothing_left(self) -> None:
        """Wait until no sandbox is there, in the driver and in the rows."""

        async def gone() -> bool:
            rows = await self.db.read(lambda tx: self.stores.sandboxes.of_node(tx, "node"))
            return not rows and not await self.driver.recover()

        await until(gone, what="the removal of all sandboxes")


@pytest.fixture(scope="module")
def keeper():
    """One keeper for all tests of a module that build in real sandboxes."""
    with start_keeper() as running:
        yield running


@pytest.fixture
async def driver(keeper):
    """The real driver."""
    made = OciDriver(KeeperClient(keeper.socket))
    yield made
    await made.close()


@pytest.fixture
async def sqlite_db(sqlite_path):
    """A fresh SQLite database."""
    async with SqlDatabase.open(sqlite_path) as database:
        yield database


@pytest.fixture
def make_rig_on(hub, ids, tmp_path):
    """Make a rig on a database, over a driver, with settings."""

    def make(db, driver, **settings) -> Rig:
        return Rig(db, hub, ids, tmp_path, driver, **settings)

    return make


@pytest.fixture
def make_rig(sqlite_db, make_rig_on):
    """Make a rig on SQLite, over a driver, with settings."""

    def make(driver, **settings) -> Rig:
        return make_rig_on(sqlite_db, driver, **settings)

    return make
