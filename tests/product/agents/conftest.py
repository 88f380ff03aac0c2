"""Agents over a real database of each kind, with builds that end as the test says."""

from dataclasses import replace

import pytest

from skep.product.access.model import ProjectId, Scope
from skep.product.access.service import AccessService
from skep.product.agents.model import AgentLimits
from skep.product.agents.service import AgentService
from skep.product.blobs.model import LogId
from skep.product.images.model import (
    Build,
    BuildId,
    BuildStatus,
    Failure,
    Image,
    ImageId,
    Install,
    Recognised,
)


class Builds:
    """Begins builds as rows, and ends them when a test says so."""

    def __init__(self, db, store, clock, ids):
        self.db, self.store, self.clock, self.ids = db, store, clock, ids
        self.listener = None
        #: What the next source says of itself.
        self.says = {}
        #: What it is at.
        self.commit = ""

    def begin(self, tx, *, project_id, agent_id, source, command, upgrade=False):
        """Insert a build."""
        now = self.clock.now_ms()
        build = Build(
            id=BuildId(self.ids.new("bld", now)),
            project_id=project_id,
            agent_id=agent_id,
            source=source,
            command=command,
            upgrade=upgrade,
            status=BuildStatus.QUEUED,
            log_id=LogId(self.ids.new("log", now)),
            created_ms=now,
        )
        self.store.insert_build(tx, build)
        return build

    async def cancel(self, principal, build_id):
        """End a build at once."""
        return await self.end(await self.db.read(lambda tx: self.store.build(tx, build_id)), BuildStatus.CANCELLED)

    async def end(self, build, status=BuildStatus.SUCCEEDED):
        """End a build and tell the listener, in one transaction."""
        now = self.clock.now_ms()
        image = None
        if status is BuildStatus.SUCCEEDED:
            image = Image(
                id=ImageId(self.ids.new("img", now)),
                project_id=build.project_id,
                node_id="nod_1",
                layers=(),
                base_fingerprint="",
                recognised=Recognised(
                    **{"framework": "python", "evidence": (), "command": ("python3", "main.py")} | self.says,
                    install=Install.NOTHING,
                ),
                source_digest="",
                commit=self.commit,
                size=0,
                created_ms=now,
            )
        failure = Failure(code="nothing_recognised", message="No.") if status is BuildStatus.FAILED else None
        ended = replace(
            build, status=status, ended_ms=now, failure=failure, image_id=image and image.id, commit=self.commit
        )

        def work(tx):
            if image is not None:
                self.store.insert_image(tx, image)
            self.store.save_build(tx, ended)
            self.listener.build_ended(tx, ended, image)

        await self.db.write(work)
        return ended


class Told:
    """A listener that remembers."""

    def __init__(self):
        self.said = []

    def version_ready(self, tx, agent, version):
        """Remember the number."""
        self.said.append(("ready", agent.name, version.number))

    def build_failed(self, tx, agent, failure):
        """Remember the code."""
        self.said.append(("failed", agent.name, failure.code))

    def agent_removed(self, tx, agent):
        """Remember the name."""
        self.said.append(("removed", agent.name))


@pytest.fixture
def access(db, stores, clock, ids):
    """The access service."""
    return AccessService(db, stores.access, stores.audit, clock, ids)


@pytest.fixture
async def admin(access):
    """The principal of the first token."""
    token = await access.first_token(lambda _: None)
    return await access.authenticate(token.reveal())


@pytest.fixture
async def reader(admin):
    """The same, with nothing but the right to look."""
    return replace(admin, scopes=frozenset({Scope.READ}))


@pytest.fixture
async def stranger(access, admin):
    """An administrator of another project."""
    project = await access.create_project(admin, "other")
    return replace(admin, project_id=ProjectId(project.id))


@pytest.fixture
def builds(db, stores, clock, ids):
    """Builds that end when the test says so."""
    return Builds(db, stores.images, clock, ids)


@pytest.fixture
def told():
    """Who is told of versions."""
    return Told()


@pytest.fixture
def agents(db, stores, builds, access, clock, ids, told):
    """The agent service."""
    made = AgentService(
        db, stores.agents, stores.images, builds, access, clock, ids, AgentLimits(max_memory_mb=2048), listeners=[told]
    )
    builds.listener = made
    return made
