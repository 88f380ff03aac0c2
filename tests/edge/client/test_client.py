"""The client against a scripted HTTP peer that breaks off, goes away and comes back."""

import asyncio
import json

import pytest
from aiohttp import web

from skep.edge.client import ApiError, SkepClient
from skep.edge.client.transport import Patience
from skep.edge.wire.agents import ChangeAgent
from skep.kernel.errors import UnavailableError
from skep.kernel.secret import Secret

RUN = "run_01jgx0000000000000000000aa"


def log_event(offset: int, text: str) -> bytes:
    """Return one piece of a log on the wire."""
    piece = {"stream": "stdout", "at": "2026-01-01T00:00:00Z", "text": text, "offset": offset, "next": offset + 1}
    return f"id: {offset + 1}\ndata: {json.dumps(piece)}\n\n".encode()


async def test_a_start_carries_token_project_and_key(peer, client, wire):
    """Each creating request has a key of its own."""
    peer.on("POST", "/api/v1/runs")(lambda _r, _b: web.json_response(wire.run_json(), status=202))
    await client.runs.start("hello", {"topic": "bees"})
    await client.runs.start("hello")
    (_, _, first, body), (_, _, second, _) = peer.asked
    assert first["Authorization"] == "Bearer skep_t"
    assert first["X-Skep-Project"] == "demo"
    assert first["Idempotency-Key"] != second["Idempotency-Key"]
    assert json.loads(body) == {"agent_id": "hello", "inputs": {"topic": "bees"}, "timeout_s": None}


async def test_a_creating_request_is_repeated_under_its_key(peer, client, wire):
    """503 and a dropped connection are followed by the same request with the same key."""
    seen: list[str] = []

    async def answer(request: web.Request, _body: bytes) -> web.StreamResponse:
        seen.append(request.headers["Idempotency-Key"])
        if len(seen) == 1:
            return wire.problem(503, "unavailable", "later")
        if len(seen) == 2:
            request.transport.abort()
            await asyncio.sleep(0)
        if len(seen) == 3:
            return wire.problem(409, "idempotency_in_flight", "wait")
        return web.json_response(wire.run_json(), status=202)

    peer.on("POST", "/api/v1/runs")(answer)
    assert (await client.runs.start("hello")).id == RUN
    assert len(seen) == 4
    assert len(set(seen)) == 1


async def test_an_error_says_everything(peer, client, wire):
    """Status, code, hint and fields of the problem details come through, and nothing is repeated."""
    peer.on("POST", "/api/v1/runs")(
        lambda _r, _b: wire.problem(422, "inputs_invalid", "no", hint="do", fields={"inputs.topic": "missing"})
    )
    with pytest.raises(ApiError) as caught:
        await client.runs.start("hello")
    error = caught.value
    assert (error.status, error.code, error.hint) == (422, "inputs_invalid", "do")
    assert error.fields == {"inputs.topic": "missing"}
    assert len(peer.asked) == 1


async def test_an_error_that_is_no_problem_is_an_error_all_the_same(peer, client):
    """A page of some proxy has a code as well."""
    peer.on("GET", "/api/v1/runs/x")(lambda _r, _b: web.Response(status=418, text="<html>"))
    with pytest.raises(ApiError) as caught:
        await client.runs.get("x")
    assert caught.value.code == "http_418"


async def test_a_redirect_is_not_followed(peer, client):
    """The token goes to the server that was named and nowhere else."""
    peer.on("GET", "/api/v1/runs/x")(lambda _r, _b: web.Response(status=307, headers={"Location": "/elsewhere"}))
    with pytest.raises(ApiError):
        await client.runs.get("x")
    assert [path for _, path, _, _ in peer.asked] == ["/api/v1/runs/x"]


async def test_a_server_that_is_not_there_is_said_soon(peer):
    """Nobody waits a minute for an address that was wrong from the start."""
    await peer.stop()
    async with SkepClient(peer.url, "t", patience=Patience(first_s=0.2)) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.agents.get("hello")
    assert caught.value.code == "unreachable"


async def test_a_server_that_restarts_is_waited_for(peer, client, wire):
    """Once it has answered, it gets the time that a restart takes."""
    peer.on("GET", f"/api/v1/runs/{RUN}")(lambda _r, _b: web.json_response(wire.run_json()))
    await client.runs.get(RUN)
    await peer.stop()
    waiting = asyncio.create_task(client.runs.get(RUN))
    await asyncio.sleep(0)
    await peer.start()
    assert (await waiting).id == RUN


async def test_whoever_waits_hears_why_once(peer, wire):
    """The first repeat is told with its reason, the next are not; when the server is away again, it is told again."""
    told: list[str] = []
    answers = [503, 503, 202, 503, 202]

    def answer(_request: web.Request, _body: bytes) -> web.Response:
        if answers.pop(0) == 503:
            return wire.problem(503, "database_unavailable", "away")
        return web.json_response(wire.run_json(), status=202)

    peer.on("POST", "/api/v1/runs")(answer)
    async with SkepClient(peer.url, "t", waiting=lambda error: told.append(error.code)) as client:
        await client.runs.start("hello")
        assert told == ["database_unavailable"]
        await client.runs.start("hello")
    assert told == ["database_unavailable"] * 2


async def test_a_read_gives_up_soon(peer, wire):
    """Nobody looks at a minute of nothing for a listing."""
    peer.on("GET", "/api/v1/runs/x")(lambda _r, _b: wire.problem(503, "database_unavailable", "away"))
    async with SkepClient(peer.url, "t", patience=Patience(short_s=0.0)) as client:
        with pytest.raises(ApiError) as caught:
            await client.runs.get("x")
    assert caught.value.code == "database_unavailable"
    assert len(peer.asked) == 1


async def test_a_full_disk_is_not_waited_for(peer, wire):
    """It is not emptied within a minute, whatever was asked for."""
    peer.on("POST", "/api/v1/runs")(lambda _r, _b: wire.problem(503, "disk_full", "full"))
    async with SkepClient(peer.url, "t", patience=Patience(short_s=0.0)) as client:
        with pytest.raises(ApiError):
            await client.runs.start("hello")
    assert len(peer.asked) == 1


async def test_what_was_begun_is_not_given_up(peer, wire):
    """Reads after a start, and those that follow a run, have the patience of a restart."""
    answers = [503, 503, 200]

    def answer(_request: web.Request, _body: bytes) -> web.Response:
        if answers and answers.pop(0) == 503:
            return wire.problem(503, "database_unavailable", "away")
        return web.json_response(wire.run_json(status="succeeded"))

    peer.on("GET", f"/api/v1/runs/{RUN}")(answer)
    peer.on("POST", "/api/v1/runs")(lambda _r, _b: web.json_response(wire.run_json(), status=202))
    async with SkepClient(peer.url, "t", patience=Patience(short_s=0.0)) as client:
        assert (await client.runs.ended(RUN)).id == RUN
    answers += [503, 200]
    async with SkepClient(peer.url, "t", patience=Patience(short_s=0.0)) as client:
        await client.runs.start("hello")
        assert (await client.runs.get(RUN)).id == RUN


async def test_a_log_is_followed_through_restarts(peer, client, wire):
    """A connection cut within a piece, a server that goes away, a stream that ends unsaid: nothing is lost or twice."""
    connections: list[str | None] = []

    async def answer(request: web.Request, _body: bytes) -> web.StreamResponse:
        connections.append(request.headers.get("Last-Event-ID"))
        match len(connections):
            case 1:
                response = await wire.events(request, [b": ok\n\n", log_event(0, "a"), log_event(1, "b")[:-9]])
                request.transport.abort()
                return response
            case 2:
                return await wire.events(request, [log_event(1, "b")])
            case 3:
                return wire.problem(503, "unavailable", "starting")
            case _:
                return await wire.events(request, [log_event(2, "c"), b"event: end\ndata: {}\n\n"])

    peer.on("GET", f"/api/v1/runs/{RUN}/log")(answer)
    found = [piece.text async for piece in client.runs.log(RUN, follow=True)]
    assert found == ["a", "b", "c"]
    assert connections == [None, "1", "2", "2"]


async def test_a_followed_log_waits_for_a_server_that_is_gone(peer, client, wire):
    """The listening socket itself may be away for a while."""
    gone = asyncio.Event()

    async def cut(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = await wire.events(request, [log_event(0, "a")])
        gone.set()
        request.transport.abort()
        return response

    async def rest(request: web.Request, _body: bytes) -> web.StreamResponse:
        return await wire.events(request, [log_event(1, "b"), b"event: end\ndata: {}\n\n"])

    peer.on("GET", f"/api/v1/runs/{RUN}/log")(cut)

    async def follow() -> list[str]:
        return [piece.text async for piece in client.runs.log(RUN, follow=True)]

    following = asyncio.create_task(follow())
    await gone.wait()
    await peer.stop()
    peer.on("GET", f"/api/v1/runs/{RUN}/log")(rest)
    await peer.start()
    assert await following == ["a", "b"]


async def test_a_log_is_read_page_by_page(peer, client):
    """Without following, the log is read to its present end."""

    def answer(request: web.Request, _body: bytes) -> web.Response:
        offset = int(request.query["offset"])
        items = [
            {"stream": "stdout", "at": "2026-01-01T00:00:00Z", "text": str(n), "offset": n, "next": n + 1}
            for n in range(offset, min(offset + 2, 5))
        ]
        return web.json_response({"items": items, "next": str(offset + len(items)) if items else None})

    peer.on("GET", f"/api/v1/runs/{RUN}/log")(answer)
    assert [piece.text async for piece in client.runs.log(RUN)] == ["0", "1", "2", "3", "4"]


async def test_listings_are_walked_by_cursor(peer, client, wire):
    """Pages follow each other until the limit or the end; filters are sent along."""

    def answer(request: web.Request, _body: bytes) -> web.Response:
        assert request.query["status"] == "running,queued"
        page = int(request.query.get("cursor", "0"))
        return web.json_response(
            {"items": [wire.run_json(id=f"{page}-{n}") for n in range(2)], "next": str(page + 1) if page < 2 else None}
        )

    peer.on("GET", "/api/v1/runs")(answer)
    states = ("running", "queued")
    assert [run.id async for run in client.runs.all(status=states)] == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"]
    assert [run.id async for run in client.runs.all(status=states, limit=3)] == ["0-0", "0-1", "1-0"]


async def test_a_change_sends_only_what_is_given(peer, client):
    """An untouched member is absent, not null."""
    peer.on("PATCH", "/api/v1/agents/hello")(lambda _r, _b: web.Response(status=500))
    with pytest.raises(ApiError):
        await client.agents.change("hello", ChangeAgent(title="x"))
    assert json.loads(peer.asked[0][3]) == {"title": "x"}


async def test_a_secret_travels_in_the_body(peer, client):
    """Its value is sent as it is, once, and is in no path."""
    made = {"id": "sec_1", "name": "KEY", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    peer.on("PUT", "/api/v1/secrets/KEY")(lambda _r, _b: web.json_response(made))
    await client.secrets.put("KEY", Secret("hunter2"))
    assert json.loads(peer.asked[0][3]) == {"value": "hunter2"}


async def test_an_upload_is_sent_afresh_when_it_is_repeated(peer, client, wire):
    """The second try has the whole body again."""
    bodies: list[bytes] = []

    def answer(_request: web.Request, body: bytes) -> web.Response:
        bodies.append(body)
        if len(bodies) == 1:
            return wire.problem(503, "unavailable", "later")
        return web.json_response(
            {"id": "upl_1", "size": 6, "sha256": "x", "created_at": "2026-01-01T00:00:00Z"}, status=201
        )

    async def data():
        yield b"abc"
        yield b"def"

    peer.on("POST", "/api/v1/uploads")(answer)
    assert (await client.uploads.create(data)).id == "upl_1"
    assert bodies == [b"abcdef", b"abcdef"]
