"""The API on a real port, over a real database; the caller is a plain HTTP client. Dialects are spoken as well."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import uvicorn

from skep.adapters.blobs import FolderBlobs, FolderLogs
from skep.adapters.keys.sealer import KeyFileSealer
from skep.adapters.storage.database import SqlDatabase
from skep.edge.api.app import make_api
from skep.edge.api.services import Services
from skep.edge.dialects.spoken import speak
from skep.kernel.ids import IdSource
from skep.kernel.settings import Settings
from skep.library.frameworks.skep_yaml.keys import json_schema
from skep.library.runtimes import Installed
from skep.product.access.service import AccessService
from skep.product.agents.model import AgentLimits
from skep.product.agents.redeploy import Redeploy
from skep.product.agents.service import AgentService
from skep.product.agents.watch import Watch
from skep.product.agents.webhooks import WebhookService
from skep.product.images.fetch.addresses import leave
from skep.product.images.fetch.host_keys import KnownHosts
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.layers.care import ImageCare
from skep.product.images.layers.catalogue import Catalogue
from skep.product.images.layers.clearing import Clearing, Shelf
from skep.product.images.layers.runtimes import RuntimeList
from skep.product.images.options import build_options
from skep.product.images.planning.base import Runtime
from skep.product.images.service import ImageService
from skep.product.runs.answering import AnswerService
from skep.product.runs.model import RunLimits
from skep.product.runs.queue import RunQueue
from skep.product.runs.service import RunService
from skep.product.sandboxes.doctor import Doctor
from skep.product.sandboxes.service import SandboxService
from skep.product.secrets.service import SecretService
from skep.product.work.model import WorkLimits
from skep.product.work.service import WorkService
from skep.testing.scripted_driver import ScriptedDriver

RUNTIMES = Installed(
    [
        Runtime(name="python", version=f"3.12.{n}", origin="uv's copy", facts=f"p{n}", folder="/opt/python")
        for n in (7, 3)
    ],
    [Runtime(name="node", version="24.19.0", origin="the index", facts="n", folder="/opt/node")],
)


@asynccontextmanager
async def serving(app: Any) -> AsyncGenerator[str]:
    """Serve *app* on a free port of this machine; give its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=5))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    text: str
    json: Any = None


@dataclass
class Caller:
    """Calls the API with a token."""

    url: str
    session: aiohttp.ClientSession
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def holding(self, token: str | None, **headers: str) -> "Caller":
        """Return a caller with another token."""
        return Caller(self.url, self.session, token, headers)

    async def __call__(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request; a path without a leading slash is one of the native API."""
        url = self.url + (path if path.startswith("/") else f"/api/v1/{path}")
        headers = {**self.headers, **options.pop("headers", {})}
        if "json" in options:
            options["data"] = io.BytesIO(json.dumps(options.pop("json")).encode())
            headers.setdefault("Content-Type", "application/json")
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            text = (await response.read()).decode("utf-8", "replace")
            found = json.loads(text) if text and "json" in response.content_type else None
            return Answer(response.status, response.headers, text, found)


@pytest.fixture
async def db(sqlite_path):
    """A fresh SQLite database."""
    async with SqlDatabase.open(sqlite_path) as database:
        yield database


@pytest.fixture
def logs(tmp_path, hub):
    """Where builds and attempts keep their logs."""
    return FolderLogs(tmp_path / "logs", hub)


@pytest.fixture
def blobs(tmp_path):
    """Where uploads and artifacts are kept."""
    return FolderBlobs(tmp_path / "blobs")


@pytest.fixture
def driver(clock):
    """A driver whose sandboxes are values in memory."""
    return ScriptedDriver(clock)


@pytest.fixture
async def services(db, clock, hub, stores, logs, blobs, driver, tmp_path):
    """All services over the database; nobody works, so that a test decides what becomes of builds and runs."""
    ids = IdSource()
    access = AccessService(db, stores.access, stores.audit, clock, ids)
    sealer = KeyFileSealer.at(tmp_path / "key")
    work = WorkService(db, stores.work, hub, clock, ids, owner="inc", node_id="nod", handlers={}, limits=WorkLimits())
    secrets = SecretService(db, stores.secrets, sealer, access, clock, ids)
    keyring = Keyring(
        db=db, store=stores.host_keys, secrets=secrets, secret_rows=stores.secrets, access=access, clock=clock,
        known=KnownHosts(), leave=leave((), ()),
    )  # fmt: skip
    images = ImageService(
        db=db,
        store=stores.images,
        sandboxes=stores.sandboxes,
        queue=work,
        blobs=blobs,
        logs=logs,
        listeners=(),
        clock=clock,
        ids=ids,
        hub=hub,
        options=build_options(Settings(upload_limit_mb=1), uv_version="0"),
        keyring=keyring,
    )
    redeploy = Redeploy(agents=stores.agents, images=stores.images, builds=images, access=access, clock=clock)
    # Nobody looks at repositories here.
    watch = Watch(
        db=db, agents=stores.agents, work=stores.work, queue=work, look=None, redeploy=redeploy, clock=clock
    )  # fmt: skip
    webhooks = WebhookService(
        db=db, store=stores.webhooks, agents=stores.agents, access=access, sealer=sealer, redeploy=redeploy,
        watch=watch, clock=clock,
    )  # fmt: skip
    queue = RunQueue(db, stores.runs, stores.agents, stores.images, work, stores.work, hub, clock, {})
    sandboxes = SandboxService(db, stores.sandboxes, driver, "nod")
    clearing = Clearing(db, stores.images, driver, Shelf(), node_id="nod")
    care = ImageCare(db, stores.images, clearing, clock)
    return Services(
        schemas={"skep-yaml.json": json_schema()},
        db=db,
        clock=clock,
        access=access,
        secrets=secrets,
        keyring=keyring,
        webhooks=webhooks,
        agents=AgentService(
            db, stores.agents, stores.images, images, access, clock, ids, AgentLimits(), listeners=[queue]
        ),
        images=images,
        catalogue=Catalogue(db, stores.catalogue, care, access, clock, node_id="nod", keep_versions=2),
        runtimes=RuntimeList(
            db, stores.images, driver, RUNTIMES, node_id="nod", machine_python="3.11.2", uv_version="0"
        ),
        runs=RunService(
            db=db,
            store=stores.runs,
            agents=stores.agents,
            images=stores.images,
            queue=queue,
            access=access,
            logs=logs,
            blobs=blobs,
            hub=hub,
            clock=clock,
            ids=ids,
            executors={},
            limits=RunLimits(),
            free_bytes=lambda: 1 << 40,
        ),
        questions=AnswerService(db, stores.runs, stores.questions, stores.work, access, hub, clock),
        doctor=Doctor(
            driver=driver,
            sandboxes=sandboxes,
            state_dir=tmp_path,
            min_free_bytes=0,
            check_database=lambda: db.read(lambda _: "answers"),
        ),
        answers=stores.idempotency,
        sealer=sealer,
    )


@pytest.fixture
def app(services, tmp_path):
    """The application."""
    api = make_api(services, Settings(data_dir=tmp_path, upload_limit_mb=1))
    speak(api)
    return api


@asynccontextmanager
async def _calling(app: Any, token: str | None = None) -> AsyncGenerator[Caller]:
    async with serving(app) as url, aiohttp.ClientSession() as session:
        yield Caller(url, session, token)


@pytest.fixture
def calling():
    """Serves an application and gives its caller."""
    return _calling


@pytest.fixture
async def nobody(app):
    """A caller without a token."""
    async with _calling(app) as caller:
        yield caller


@pytest.fixture
async def admin(nobody, services):
    """A caller with the first token."""
    token = await services.access.first_token(lambda _: None)
    return nobody.holding(token.reveal())


@pytest.fixture
def caller_with(admin):
    """Makes a caller whose token has the given scopes, in the given project."""

    async def make(*scopes: str, project: str = "default") -> Caller:
        headers = {"X-Skep-Project": project}
        made = await admin("POST", "tokens", json={"name": "-".join(scopes), "scopes": scopes}, headers=headers)
        assert made.status == 201, made.text
        return admin.holding(made.json["token"])

    return make
