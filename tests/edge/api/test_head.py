"""HEAD says what GET would, without the body, on every route; it opens no stream."""

import pytest

from skep.edge.api.app import all_routes
from skep.edge.api.openapi import operations

READING = [operation for operation in operations(all_routes()) if operation.method == "GET"]
#: What differs from call to call.
PASSING = {"date", "x-request-id"}


def facts(answer):
    """Return what must be the same for both."""
    return answer.status, {name: value for name, value in answer.headers.items() if name.lower() not in PASSING}


def path_of(operation):
    """Fill the template with something that is not there."""
    return operation.path.replace("{", "no-such-").replace("}", "")


@pytest.fixture
async def bee(admin):
    """An agent with a build and a run, so that there is something to ask for."""
    agent = await admin("POST", "agents", json={"name": "bee", "source": {"files": {"main.py": "1"}}})
    build = await admin("POST", "agents/bee/build")
    run = await admin("POST", "runs", json={"agent_id": "bee"})
    return {"agent": agent.json["id"], "build": build.json["id"], "run": run.json["id"]}


async def test_every_route_answers_head_as_get(admin, nobody, caller_with, bee):
    """Status and headers are those of GET: for what is there, what is not, and who may not ask."""
    metrics = await caller_with("metrics")
    paths = [path_of(operation) for operation in READING]
    paths += [f"agents/{bee['agent']}", f"builds/{bee['build']}", f"runs/{bee['run']}", f"runs/{bee['run']}/log"]
    for path in paths:
        for caller in (admin, nobody, metrics):
            got, head = await caller("GET", path), await caller("HEAD", path)
            assert head.text == ""
            if path == "/metrics":  # its length grows while it is counted
                assert got.status == head.status
            else:
                assert facts(head) == facts(got), path


@pytest.mark.parametrize("path", ["runs/{run}/events", "runs/{run}/log", "builds/{build}/log"])
async def test_head_opens_no_stream(admin, app, bee, path):
    """The head of an event stream, and nothing that stays open."""
    answer = await admin("HEAD", path.format(**bee) + "?follow=true")

    assert (answer.status, answer.text) == (200, "")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert app.state.streams.open == 0


async def test_head_is_not_for_what_changes(admin):
    """A route that only takes POST refuses HEAD, and does nothing."""
    answer = await admin("HEAD", "runs/some/cancel")

    assert (answer.status, answer.text) == (405, "")


async def test_head_is_noted_as_itself(admin, caplog):
    """Log and figures tell HEAD from GET, and know the route and the caller."""
    caplog.set_level("INFO", logger="skep.access")
    await admin("HEAD", "runs/some-run")

    record = next(record for record in caplog.records if record.name == "skep.access")
    assert (record.method, record.status) == ("HEAD", 404)
    assert record.principal.startswith("tok_")
    text = (await admin("GET", "/metrics")).text
    assert 'skep_http_requests_total{method="HEAD",route="/api/v1/runs/{run}",status="404"} 1.0' in text


async def test_head_is_in_no_description(app):
    """Whoever reads the description knows that GET includes it."""
    assert not [path for path, methods in app.openapi()["paths"].items() if "head" in methods]
