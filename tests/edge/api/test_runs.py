"""Runs over HTTP: accepted, shown with their output, followed, resumed; artifacts as attachments."""

import asyncio
import json
from urllib.parse import quote

import pytest
from by_hand import Worker
from yarl import URL

from skep.product.blobs.model import BlobId
from skep.product.images.model import Failure
from skep.product.runs.model import Artifact, RunId, RunStatus
from skep.product.runs.plan import parse_result
from skep.testing.wait import until

FILES = {"files": {"main.py": "print('bees')"}}


@pytest.fixture
async def run(admin):
    """The id of a run that is accepted and waits for its agent's build."""
    await admin("POST", "agents", json={"name": "bee", "source": FILES})
    await admin("POST", "agents/bee/build")
    started = await admin("POST", "runs", json={"agent_id": "bee", "inputs": {"topic": "bees"}})
    assert started.status == 202, started.text
    return RunId(started.json["id"])


@pytest.fixture
def worker(db, stores, logs, blobs, hub):
    """Moves runs by hand."""
    return Worker(db, stores, logs, blobs, hub)


async def read_events(caller, path, *, headers=None, most=None):
    """Follow a stream; return its events as (id, name, data), at most *most*."""
    events, current = [], {}
    headers = {"Authorization": f"Bearer {caller.token}", "Accept": "text/event-stream", **(headers or {})}
    async with caller.session.get(f"{caller.url}/api/v1/{path}", headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        async for raw in response.content:
            line = raw.decode().rstrip("\n")
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                current[name] = value
                continue
            if current:
                events.append((current.get("id"), current.get("event"), json.loads(current["data"])))
                current = {}
                if most is not None and len(events) == most:
                    break
    return events


async def test_a_run_is_accepted_and_shown(admin, run):
    """202 with both ids; status, and all that a finished run will have."""
    shown = (await admin("GET", f"runs/{run}")).json

    assert shown["id"] == shown["run_id"] == run
    assert (shown["status"], shown["agent_name"], shown["inputs"]) == ("queued", "bee", {"topic": "bees"})
    assert shown["output"] == {"stdout": "", "stderr": "", "truncated": False}
    assert {"exit_code", "result", "error", "usage", "started_at", "ended_at"} <= set(shown)
    assert [item["id"] for item in (await admin("GET", "runs?agent_id=bee&status=queued")).json["items"]] == [run]


async def test_status_and_output_are_one_object(admin, run, worker):
    """Both paths of Agent Launchpad answer with everything, so that no order of asking loses anything."""
    log = await worker.attempt(run, 1)
    await worker.logs.append(log, "stdout", 0, b"hello\n", 0)
    await worker.logs.append(log, "stderr", 0, b"oh\n", 0)
    await worker.logs.close(log)
    failure = Failure(code="exit_code", message="It exited with 3.", hint="Look at the log.")
    await worker.end(run, RunStatus.FAILED, exit_code=3, result={"a": 1}, failure=failure)

    status, output = (await admin("GET", f"runs/{run}/status")).json, (await admin("GET", f"runs/{run}/output")).json

    assert status == output
    assert status["status"] == "failed"
    assert status["exit_code"] == 3
    assert status["result"] == {"a": 1}
    assert status["output"] == {"stdout": "hello\n", "stderr": "oh\n", "truncated": False}
    assert status["error"] == {"code": "exit_code", "message": "It exited with 3.", "hint": "Look at the log."}


@pytest.mark.parametrize(
    "raw", [b"[" * 900 + b"]" * 900, b'{"a":' * 300 + b"1e999" + b"}" * 300, b'"\\ud800"', b"1e999"]
)
async def test_a_result_that_no_json_can_hold_hurts_nobody(admin, run, worker, raw):
    """Whatever an agent writes, its run and the listing can be read."""
    await worker.attempt(run, 1)
    await worker.end(run, exit_code=0, result=parse_result(raw))

    assert (await admin("GET", f"runs/{run}")).json["status"] == "succeeded"
    assert (await admin("GET", "runs")).json["items"][0]["id"] == run


async def test_a_run_without_a_build_is_refused(admin):
    """409 with the code that the documentation names; an unknown agent is 404."""
    await admin("POST", "agents", json={"name": "bee", "source": FILES})

    refused = await admin("POST", "runs", json={"agent_id": "bee"})
    unknown = await admin("POST", "runs", json={"agent_id": "wasp"})

    assert (refused.status, refused.json["code"]) == (409, "agent_not_built")
    assert "build" in refused.json["hint"]
    assert unknown.status == 404


async def test_inputs_that_break_the_schema_are_named(admin):
    """Each wrong input by its name."""
    schema = {"type": "object", "required": ["topic"], "properties": {"n": {"type": "integer"}}}
    await admin("POST", "agents", json={"name": "bee", "source": FILES, "inputs_schema": schema})
    await admin("POST", "agents/bee/build")

    answer = await admin("POST", "runs", json={"agent_id": "bee", "inputs": {"n": "many"}})

    assert answer.status == 422
    assert any("n" in field for field in answer.json["fields"])
    assert any("topic" in field + words for field, words in answer.json["fields"].items())


async def test_many_duplicates_start_one_run(admin, run):
    """The same key, at the same time and later: one run, one answer."""
    body, headers = {"agent_id": "bee", "inputs": {"n": 1}}, {"Idempotency-Key": "r-1"}
    answers = await asyncio.gather(*(admin("POST", "runs", json=body, headers=headers) for _ in range(10)))
    later = await admin("POST", "runs", json=body, headers=headers)

    assert {answer.status for answer in answers} <= {202, 409}
    assert later.headers["Idempotent-Replayed"] == "true"
    assert {answer.json["id"] for answer in answers if answer.status == 202} == {later.json["id"]}
    assert len((await admin("GET", "runs")).json["items"]) == 2


async def test_events_are_followed_to_the_end(admin, run, worker):
    """The stream gives what was, then what comes, then says that it is over."""
    following = asyncio.create_task(read_events(admin, f"runs/{run}/events"))
    await worker.attempt(run, 1)
    await worker.end(run, exit_code=0)

    events = await following

    assert [data.get("type") for _, _, data in events] == ["run.queued", "attempt.started", "run.succeeded", None]
    assert [event_id for event_id, _, _ in events] == ["1", "2", "3", None]
    assert events[-1][1] == "end"
    assert events[-1][2] == {"id": run, "status": "succeeded", "exit_code": 0, "error": None}
    listed = (await admin("GET", f"runs/{run}/events")).json
    assert [event["seq"] for event in listed["items"]] == [1, 2, 3]
    assert (await admin("GET", f"runs/{run}/events?after=2")).json["items"] == listed["items"][2:]


async def test_events_are_paged_like_all_that_is_listed(admin, run, worker):
    """A page has a limit and the cursor of the next one, null at the end; what is no cursor is refused."""
    await worker.attempt(run, 1)
    await worker.end(run)

    first = (await admin("GET", f"runs/{run}/events?limit=2")).json
    second = (await admin("GET", f"runs/{run}/events?limit=2&cursor={first['next']}")).json

    assert [event["seq"] for event in first["items"]] == [1, 2]
    assert [event["seq"] for event in second["items"]] == [3]
    assert second["next"] is None
    assert (await admin("GET", f"runs/{run}/events?limit=3")).json["next"] is None
    for wrong in ("cursor=one", "cursor=", "cursor=1&after=1", "limit=0"):
        refused = await admin("GET", f"runs/{run}/events?{wrong}")
        assert (refused.status, [*refused.json["fields"]]) == (422, [wrong.partition("=")[0]])


async def test_events_resume_after_the_last_one_seen(admin, run, worker):
    """Last-Event-ID goes before the argument; a broken stream loses and repeats nothing."""
    await worker.attempt(run, 1)
    first = await read_events(admin, f"runs/{run}/events", most=2)
    await worker.end(run)

    rest = await read_events(admin, f"runs/{run}/events?after=0", headers={"Last-Event-ID": first[-1][0]})

    assert [event_id for event_id, _, _ in first + rest] == ["1", "2", "3", None]


async def test_a_log_is_followed_over_attempts_and_resumed(admin, run, worker):
    """Each attempt has its log; an event's id says where to go on, also in the attempt after."""
    following = asyncio.create_task(read_events(admin, f"runs/{run}/log?follow=true"))
    one = await worker.attempt(run, 1)
    for text in (b"a\n", b"b\n"):
        await worker.logs.append(one, "stdout", 0, text, 0)
    await worker.logs.close(one)
    two = await worker.attempt(run, 2)
    await worker.logs.append(two, "stderr", 0, b"c\n", 0)
    await worker.logs.close(two)
    await worker.end(run)

    events = await following

    assert [(data["attempt"], data["stream"], data["text"]) for _, _, data in events[:-1]] == [
        (1, "stdout", "a\n"),
        (1, "stdout", "b\n"),
        (2, "stderr", "c\n"),
    ]
    assert events[-1][1] == "end"
    for seen in range(3):
        headers = {"Last-Event-ID": events[seen][0]}
        assert await read_events(admin, f"runs/{run}/log", headers=headers) == events[seen + 1 :]


async def test_a_log_is_given_as_json_and_as_text(admin, run, worker):
    """Parts with offsets for programs; plain bytes for people. Half a character waits for its other half."""
    log = await worker.attempt(run, 1)
    whole = "bü\x1b[31m<b>\n".encode()
    await worker.logs.append(log, "stdout", 0, whole[:2], 0)
    await worker.logs.append(log, "stdout", 0, whole[2:], 0)

    page = (await admin("GET", f"runs/{run}/log")).json
    plain = await admin("GET", f"runs/{run}/log", headers={"Accept": "text/plain"})

    assert "".join(piece["text"] for piece in page["items"]) == whole.decode()
    assert (await admin("GET", f"runs/{run}/log?offset={page['next']}")).json == {"items": [], "next": None}
    assert plain.text == whole.decode()
    assert plain.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert plain.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("offset", [1, 7, 999_999, (1 << 62) - 1])
async def test_an_offset_that_is_none_does_no_harm(admin, run, worker, offset):
    """A number that no frame starts at gives nothing or a clear error."""
    log = await worker.attempt(run, 1)
    await worker.logs.append(log, "stdout", 0, b"\xff" * 100, 0)

    answer = await admin("GET", f"runs/{run}/log?offset={offset}")

    assert answer.status in (200, 422)
    if answer.status == 200:
        assert answer.json["items"] == []


@pytest.mark.parametrize("bad", ["x", "-1", "1e3", "9" * 30, "1-", "-5", "0-1", "1-2-3", "1-x"])
async def test_a_last_event_id_that_is_not_ours_is_refused(admin, run, bad):
    """It is a number, or an attempt and a number."""
    answer = await admin("GET", f"runs/{run}/log?follow=true", headers={"Last-Event-ID": bad})

    assert answer.status == 422
    assert "Last-Event-ID" in answer.json["fields"]


async def test_a_reader_who_leaves_leaves_nothing_behind(admin, run, app, worker):
    """The stream is closed and its subscription ended, though nothing more happens."""
    await worker.attempt(run, 1)
    await read_events(admin, f"runs/{run}/events", most=1)

    await until(lambda: app.state.streams.open == 0, what="the stream to be closed")


async def test_a_stopping_server_ends_its_streams(admin, run, app):
    """The reader gets no `end`, so it knows to come again."""
    following = asyncio.create_task(read_events(admin, f"runs/{run}/events"))
    await until(lambda: app.state.streams.open == 1, what="the stream to be open")

    app.state.streams.end_all()

    assert "end" not in [name for _, name, _ in await following]


async def test_artifacts_are_attachments_and_nothing_else(admin, run, worker, db, stores, blobs):
    """Bytes as they are, never shown by a browser as a page; the name cannot break out of the header."""

    async def data():
        yield b"<script>alert(1)</script>"

    name = 'sub/we"ird; filename=x ü.html'
    blob = await blobs.put(BlobId("blb_00000000000000000000000001"), data(), limit=1000)
    artifact = Artifact(run_id=run, path=name, blob_id=blob.id, size=blob.size, sha256=blob.sha256)
    await db.write(lambda tx: stores.runs.put_artifacts(tx, run, [artifact]))

    assert (await admin("GET", f"runs/{run}/artifacts")).json["items"][0]["path"] == name
    url = URL(f"{admin.url}/api/v1/runs/{run}/artifacts/{quote(name)}", encoded=True)
    async with admin.session.get(url, headers={"Authorization": f"Bearer {admin.token}"}) as answer:
        assert answer.status == 200
        assert await answer.read() == b"<script>alert(1)</script>"
        assert answer.content_type == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith(
            "attachment; filename*=UTF-8''we%22ird%3B%20filename%3Dx%20%C3%BC.html"
        )
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for path in ("../../../etc/passwd", "%2e%2e/key", "sub", ""):
        answer = await admin("GET", f"runs/{run}/artifacts/{path}")
        assert answer.status in (404, 200)
        assert "root:" not in answer.text


async def test_a_cancelled_run_says_so(admin, run):
    """202 for the asking; a run that only waited is over at once."""
    answer = await admin("POST", f"runs/{run}/cancel")

    assert answer.status == 202
    assert (await admin("GET", f"runs/{run}")).json["status"] == "cancelled"


async def test_usage_is_summed_per_agent(admin, run):
    """Runs by status, seconds."""
    usage = (await admin("GET", "usage")).json["items"]

    assert [(item["agent_name"], item["runs"]) for item in usage] == [("bee", {"queued": 1})]
