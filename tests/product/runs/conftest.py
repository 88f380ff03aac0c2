"""An agent that is built, a driver that plays its sandboxes, and all that executes runs, over a real database."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from skep.adapters.blobs import FolderBlobs, FolderLogs
from skep.adapters.keys.sealer import KeyFileSealer
from skep.adapters.storage.stores import make_stores
from skep.kernel.secret import Secret
from skep.product.access.service import AccessService
from skep.product.agents.model import Agent, AgentConfig, AgentId, Kind, Version, VersionId
from skep.product.images.model import FilesSource, Image, ImageId, Install, Recognised
from skep.product.runs.answering import AnswerService
from skep.product.runs.asking import Asking
from skep.product.runs.jobs import JobExecutor
from skep.product.runs.model import RunLimits
from skep.product.runs.queue import RunQueue
from skep.product.runs.records import Records
from skep.product.runs.service import RunService
from skep.product.secrets.service import SecretService
from skep.product.work.model import Lease, WorkLimits, WorkTiming
from skep.product.work.service import WorkService
from skep.testing.behaviour import Behaviour, scripted
from skep.testing.scripted_driver import ScriptedDriver
from skep.testing.wait import until

NODE = "nod_" + "0" * 26


class World:
    """Everything that a run needs, and a few words to say what happens to it."""

    def __init__(self, db, clock, ids, hub, folder, *, driver=None, limits=None, work_limits=None, owner="one"):
        self.db, self.clock, self.ids, self.hub, self.folder, self.owner = db, clock, ids, hub, folder, owner
        self.work_limits = work_limits or WorkLimits()
        self.limits = limits or RunLimits(
            retry_s=0.005, min_free_bytes=0, output_bytes=200_000, result_bytes=10_000, artifact_bytes=200_000
        )
        self.stores = make_stores(getattr(db, "dialect", "sqlite"), clock.now_ms)
        self.driver = driver or ScriptedDriver(clock)
        self.access = AccessService(db, self.stores.access, self.stores.audit, clock, ids)
        sealer = KeyFileSealer.at(folder / "key")
        self.secrets = SecretService(db, self.stores.secrets, sealer, self.access, clock, ids)
        self.logs = FolderLogs(folder / "logs", hub)
        self.blobs = FolderBlobs(folder / "blobs")
        self.free = 1 << 40
        self.handlers = {}
        self.work = WorkService(
            db,
            self.stores.work,
            hub,
            clock,
            ids,
            owner=owner,
            node_id=NODE,
            handlers=self.handlers,
            limits=self.work_limits,
            timing=WorkTiming(poll_s=0.02),
        )
        self.executors = {Kind.JOB: self._executor()}
        self.queue = RunQueue(
            db,
            self.stores.runs,
            self.stores.agents,
            self.stores.images,
            self.work,
            self.stores.work,
            hub,
            clock,
            self.executors,
        )
        self.handlers["run"] = self.queue
        self.runs = RunService(
            db=db,
            store=self.stores.runs,
            agents=self.stores.agents,
            images=self.stores.images,
            queue=self.queue,
            access=self.access,
            logs=self.logs,
            blobs=self.blobs,
            hub=hub,
            clock=clock,
            ids=ids,
            executors=self.executors,
            limits=self.limits,
            free_bytes=lambda: self.free,
        )
        self.answers = AnswerService(
            db, self.stores.runs, self.stores.questions, self.stores.work, self.access, hub, clock
        )

    def _executor(self):
        records = Records(
            db=self.db,
            runs=self.stores.runs,
            agents=self.stores.agents,
            images=self.stores.images,
            sandboxes=self.stores.sandboxes,
            work=self.stores.work,
            access=self.access,
            hub=self.hub,
            clock=self.clock,
            ids=self.ids,
            node_id=NODE,
        )
        self.asking = Asking(
            self.db,
            self.stores.runs,
            self.stores.questions,
            self.stores.work,
            self.hub,
            self.clock,
            self.ids,
            queue=self.work,
            most_s=self.limits.ask_timeout_s,
        )
        return JobExecutor(
            records, self.driver, self.logs, self.blobs, self.secrets, self.limits, self.asking, self.hub
        )

    def again(self, db=None, owner="two"):
        """The same installation after its server was killed: everything in memory is new, but the driver's."""
        made = World(
            db or self.db,
            self.clock,
            self.ids,
            self.hub,
            self.folder,
            driver=self.driver,
            limits=self.limits,
            work_limits=self.work_limits,
            owner=owner,
        )
        made.admin = self.admin
        return made

    async def setup(self):
        """Make the first token."""
        token = await self.access.first_token(lambda _: None)
        self.admin = await self.access.authenticate(token.reveal())
        return self

    async def agent(self, behaviour=None, name="bees", *, built=True, inputs_schema=None, **config):
        """Make an agent whose runs behave like *behaviour*."""
        now = self.clock.now_ms()
        argv = scripted(behaviour or Behaviour())
        recognised = Recognised(
            framework="python", evidence=(), command=argv, install=Install.NOTHING, inputs_schema=inputs_schema
        )
        agent = Agent(
            id=AgentId(self.ids.new("agt", now)),
            project_id=self.admin.project_id,
            name=name,
            title=name,
            kind=Kind.JOB,
            source=FilesSource(files={}),
            config=AgentConfig(**config),
            created_ms=now,
            updated_ms=now,
        )
        image = Image(
            id=ImageId(self.ids.new("img", now)),
            project_id=agent.project_id,
            node_id=NODE,
            layers=(),
            base_fingerprint="scripted",
            recognised=recognised,
            source_digest="",
            commit="",
            size=0,
            created_ms=now,
        )
        self.version = Version(
            id=VersionId(self.ids.new("ver", now)),
            agent_id=agent.id,
            project_id=agent.project_id,
            number=1,
            image_id=image.id,
            config=agent.config,
            created_ms=now,
        )

        def work(tx):
            self.stores.agents.insert(tx, agent)
            self.stores.images.insert_image(tx, image)
            if built:
                self.stores.agents.insert_version(tx, self.version)
                self.stores.agents.save(tx, replace(agent, version_id=self.version.id))

        await self.db.write(work)
        return agent

    async def secret(self, name, value):
        """Put a secret."""
        await self.secrets.put(self.admin, name, Secret(value))

    async def start(self, agent="bees", inputs=None, **more):
        """Start a run."""
        return await self.runs.start(self.admin, agent, inputs or {}, **more)

    async def claim(self):
        """Take the next piece of work, as a server does."""
        items = await self.db.write(
            lambda tx: self.stores.work.claim(
                tx,
                kinds=["run"],
                owner=self.owner,
                node_id=NODE,
                lease_ms=60_000,
                key_limits={},
                default_key_limits={},
                most=1,
            )
        )
        return items[0] if items else None

    async def work_once(self):
        """Take the next piece of work and do it to its end."""
        item = await self.claim()
        assert item is not None, "there is work"
        await self.queue.run(item, Lease(work_id=item.id, fence=item.fence, owner=self.owner))

    @asynccontextmanager
    async def working(self):
        """Work as a server does, until the test is over."""
        task = asyncio.create_task(self.work.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def run(self, run):
        """Read the run again."""
        return await self.runs.get(self.admin, run.id)

    async def ended(self, run):
        """Wait until the run is over and its sandbox is gone, and return it."""
        await until(lambda: self._is_over(run), timeout_s=30, what="the run's end")
        return await self.run(run)

    async def _is_over(self, run):
        return (await self.run(run)).status.final and not await self.sandbox_rows()

    async def phase(self, run, phase):
        """Wait until the run's latest attempt has come to *phase*, and return that attempt."""
        found = []

        async def there():
            found[:] = (await self.attempts(run))[-1:]
            return bool(found) and found[0].phase == phase

        await until(there, timeout_s=30, what=f"phase {phase}")
        return found[0]

    async def attempts(self, run):
        """Read the run's attempts."""
        return await self.db.read(lambda tx: self.stores.runs.attempts(tx, run.id))

    async def events(self, run):
        """Read the types of the run's events."""
        return [event.type for event in (await self.runs.events(self.admin, run.id)).items]

    async def stdout(self, run, **more):
        """Read what the run printed."""
        return (await self.runs.output(self.admin, run.id, **more)).stdout

    async def sandbox_rows(self):
        """Read the rows of sandboxes."""
        return await self.db.read(lambda tx: self.stores.sandboxes.of_node(tx, NODE))


@pytest.fixture
async def world(db, clock, ids, hub, tmp_path):
    """An installation on a fresh database of each kind."""
    return await World(db, clock, ids, hub, tmp_path).setup()


@pytest.fixture
def make_world(clock, ids, hub, tmp_path):
    """Makes an installation over a given database."""

    async def make(db, **more):
        return await World(db, clock, ids, hub, tmp_path, **more).setup()

    return make


@pytest.fixture(scope="session")
def world_type():
    """The class itself, for those who make everything anew many times."""
    return World
