"""Launchpad's routes: who may call them, and how they say that something is wrong."""

import io

from launchpad import crew, is_fault

from skep.edge.api.app import make_api
from skep.edge.api.openapi import operations
from skep.edge.api.waiting import Waiting
from skep.edge.dialects.spoken import routes, worded
from skep.kernel.settings import Settings
from skep.product.access.model import IMPLIES, Scope

OPERATIONS = operations(routes())


# ---- who is calling


def path_of(operation):
    """Fill the template with something that is not there."""
    return operation.path.replace("{", "no-such-").replace("}", "")


async def test_every_route_asks_for_a_good_token_with_its_scope(nobody, caller_with):
    """There was no check at all; now it is that of the native API, and no route is open."""
    assert len(OPERATIONS) >= 11
    for operation in OPERATIONS:
        assert operation.scope, operation
        answer = await nobody(operation.method, path_of(operation))
        assert is_fault(answer, 401), operation
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for scope in Scope:
        caller = await caller_with(scope)
        for operation in OPERATIONS:
            if Scope(operation.scope) not in IMPLIES[scope]:
                answer = await caller(operation.method, path_of(operation))
                assert is_fault(answer, 403), operation


async def test_things_of_another_project_are_not_there(admin, agent):
    """Agents and runs answer 404 by id, lists are empty, whatever user is named."""
    await admin("POST", "projects", json={"name": "other"})
    run = (await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {}})).json["runId"]
    stranger = admin.holding(admin.token, **{"X-Skep-Project": "other"})

    for method, path, body in (
        ("GET", f"/api/agent/{agent}", None),
        ("GET", f"/api/agent/{agent}/input", None),
        ("POST", f"/api/agent/{agent}/image/create", {}),
        ("GET", f"/api/agent/{agent}/image/status", None),
        ("POST", f"/api/agent/{agent}/run/start", {"inputs": {}}),
        ("GET", f"/api/agent/{agent}/run/{run}/status", None),
        ("GET", f"/api/agent/{agent}/run/{run}/output", None),
    ):
        assert is_fault(await stranger(method, path, **({} if body is None else {"json": body})), 404), path
    for path in ("/api/agents/list/ann", "/api/inbox/ann"):
        assert (await stranger("GET", path)).json == []


# ---- errors


async def test_errors_name_what_is_wrong_in_their_words(admin, agent):
    """There is no member for it, so none is spoken of; what is named already is not named twice."""
    refused = await admin("POST", f"/api/agent/{agent}/run/start", json={})
    assert refused.json["error"] == "Not accepted: inputs: is missing."


async def test_errors_have_launchpads_shape_on_its_paths_only(admin, agent):
    """What the router, the shapes, the services and the outermost layer refuse; the native API says problems."""
    large = io.BytesIO(b"x" * (5 << 20))
    for method, path, options, status in (
        ("GET", "/api/agent/none", {}, 404),
        ("GET", f"/api/agent/{agent}/run/run_none/status", {}, 404),
        ("GET", f"/api/agent/{agent}/nothing", {}, 404),
        ("DELETE", f"/api/agent/{agent}", {}, 405),
        ("GET", "/api/echo", {}, 405),
        ("POST", f"/api/agent/{agent}/run/start", {"json": {}}, 422),
        ("POST", f"/api/agent/{agent}/run/start", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 422),
        ("PUT", "/api/agent/create", {"json": {"userId": "ann"}}, 422),
        ("PUT", "/api/agent/create", {"json": crew(url="file:///etc")}, 422),
        ("PUT", "/api/agent/create", {"json": crew(name="a\nb")}, 422),
        ("GET", "/api/inbox/ann?limit=3", {}, 422),
        ("POST", "/api/echo", {"data": b"a", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", "/api/echo", {"data": large}, 413),
    ):
        assert is_fault(await admin(method, path, **options), status), path
    for path in ("/api/v1/agents/none", "/api/v1/nothing", "/api/agentless", "/api/nothing"):
        assert (await admin("GET", path)).headers["Content-Type"] == "application/problem+json"


async def test_an_error_says_what_to_do(admin):
    """The hint stands behind the message, and what is wrong is named by the path that was sent."""
    assert "skep agents" in (await admin("GET", "/api/agent/none")).json["error"]
    body = crew()
    del body["config"]["githubUrl"]
    assert "config.githubUrl: is missing" in (await admin("PUT", "/api/agent/create", json=body)).json["error"]


async def test_head_tells_the_status_of_an_error(admin):
    """Without a body, and without the length of one that is worded differently."""
    answer = await admin("HEAD", "/api/agent/none")

    assert (answer.status, answer.text) == (404, "")
    assert answer.headers["Content-Type"] == "application/json"


async def test_what_nobody_expected_is_said_too(calling, services, tmp_path):
    """An error inside is 500 in the same shape; the log has the rest."""
    api = make_api(services, Settings(data_dir=tmp_path))

    async def break_down():
        raise RuntimeError("inside")

    api.add_api_route("/api/agent/broken", break_down)
    async with calling(worded(api)) as caller:
        answer = await caller("GET", "/api/agent/broken")
    assert is_fault(answer, 500)
    assert "inside" not in answer.json["error"].replace("inside Skep", "")


async def test_a_server_that_waits_for_its_database_says_it_in_the_same_shape(calling):
    """503, and when to come again."""
    async with calling(worded(Waiting())) as caller:
        answer = await caller("GET", "/api/agents/list/ann")
        assert is_fault(answer, 503)
        assert answer.headers["Retry-After"]
        assert (await caller("GET", "/api/v1/agents")).headers["Content-Type"] == "application/problem+json"


# ---- the rest


async def test_echo_says_what_was_sent(admin):
    """Whatever JSON it is."""
    for sent in ({"a": [1, None]}, [], "x", 3, None):
        answer = await admin("POST", "/api/echo", json=sent)
        assert answer.json == {"status": "OK", "echo": sent}
