"""A scripted HTTP peer that speaks the native API's wire models."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from skep.edge.client import SkepClient
from skep.edge.client.transport import Patience

NOW = "2026-01-02T03:04:05.000Z"


class Peer:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: dict[tuple[str, str], Callable[[web.Request, bytes], Any]] = {}
        self.port = 0
        self._runner: web.AppRunner | None = None

    def on(self, method: str, path: str) -> Callable[..., Any]:
        """Decorate the function that answers *method* and *path* from now on."""

        def keep(answer: Callable[[web.Request, bytes], Any]) -> Callable[[web.Request, bytes], Any]:
            self.answers[method, path] = answer
            return answer

        return keep

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request.method, request.path, dict(request.headers), body))
        answer = self.answers.get((request.method, request.path))
        if answer is None:
            return problem(404, "not_found", f"no {request.path}")
        made = answer(request, body)
        return await made if asyncio.iscoroutine(made) else made

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End, with all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


def problem(status: int, code: str, detail: str, **more: Any) -> web.Response:
    """Return problem details."""
    body = {"title": "x", "status": status, "detail": detail, "code": code, **more}
    return web.json_response(body, status=status, content_type="application/problem+json")


def run_json(**changed: Any) -> dict[str, Any]:
    """Return a run as the server renders it."""
    run_id = "run_01jgx0000000000000000000aa"
    return {
        "id": run_id,
        "run_id": run_id,
        "agent_id": "agt_01jgx0000000000000000000aa",
        "agent_name": "hello",
        "project_id": "prj_x",
        "kind": "job",
        "status": "queued",
        "inputs": {},
        "usage": {},
        "created_at": NOW,
    } | changed


async def events(request: web.Request, lines: list[bytes]) -> web.StreamResponse:
    """Answer with an event stream."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for line in lines:
        await response.write(line)
    return response


@pytest.fixture
def wire() -> SimpleNamespace:
    """The functions above, for the tests."""
    return SimpleNamespace(problem=problem, run_json=run_json, events=events)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A peer that listens."""
    made = Peer()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def client(peer) -> AsyncIterator[SkepClient]:
    """A client of the peer, with little patience."""
    async with SkepClient(peer.url, "skep_t", "demo", patience=Patience(first_s=0.3, later_s=5)) as made:
        yield made
