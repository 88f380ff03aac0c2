"""The API on a real port, over a real database; the caller is a plain HTTP client."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from skep.adapters.keys.sealer import KeyFileSealer
from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import make_stores
from skep.edge.api.app import make_api
from skep.edge.api.services import Services
from skep.kernel.ids import IdSource
from skep.kernel.settings import Settings
from skep.product.access.service import AccessService
from skep.product.secrets.service import SecretService
from skep.testing.clock import ManualClock


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
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            text = (await response.read()).decode("utf-8", "replace")
            json = await response.json(content_type=None) if "json" in response.content_type else None
            return Answer(response.status, response.headers, text, json)


@pytest.fixture
def clock():
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
async def db(tmp_path: Path):
    """A fresh SQLite database."""
    async with SqlDatabase.open(tmp_path / "skep.db") as database:
        await database.migrate()
        yield database


@pytest.fixture
def services(db, clock, tmp_path):
    """The services, over the database."""
    stores = make_stores(db.dialect, clock.now_ms)
    ids = IdSource()
    access = AccessService(db, stores.access, stores.audit, clock, ids)
    sealer = KeyFileSealer.at(tmp_path / "key")
    return Services(
        db=db,
        clock=clock,
        access=access,
        secrets=SecretService(db, stores.secrets, sealer, access, clock, ids),
        agents=None,
        images=None,
        runs=None,
        doctor=None,
        answers=stores.idempotency,
        sealer=sealer,
    )


@pytest.fixture
def app(services, tmp_path):
    """The application."""
    return make_api(services, Settings(data_dir=tmp_path, upload_limit_mb=1))


@pytest.fixture
async def nobody(app):
    """A caller without a token."""
    async with serving(app) as url, aiohttp.ClientSession() as session:
        yield Caller(url, session)


@pytest.fixture
async def admin(nobody, services):
    """A caller with the first token."""
    token = await services.access.first_token()
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
