"""Every route asks for a good token with its scope; the list of routes is the route table itself."""

import pytest

from skep.edge.api.app import all_routes
from skep.edge.api.openapi import operations
from skep.product.access.model import IMPLIES, Scope

OPEN = {"/hooks/{agent}", "/", "/healthz", "/readyz", "/health", "/ping", "/docs", "/api/v1/openapi.json"}
OPEN |= {"/api/v1/schemas/{name}"}
OPERATIONS = operations(all_routes())
CLOSED = [operation for operation in OPERATIONS if operation.scope]


def path_of(operation):
    """Fill the template with something that is not there."""
    return operation.path.replace("{", "no-such-").replace("}", "")


def test_only_what_is_meant_to_be_open_is_open():
    """A route without a scope is one of the few that are open by decision."""
    assert {operation.path for operation in OPERATIONS if not operation.scope} == OPEN
    assert len(CLOSED) > 30


GOOD_FORM = "skep_" + "A" * 43
NO_CREDENTIALS = [
    {},
    {"Authorization": "Bearer"},
    {"Authorization": f"Basic {GOOD_FORM}"},
    {"Authorization": "Bearer nonsense"},
    {"Authorization": f"Bearer {GOOD_FORM}"},
    {"X-Skep-Token": GOOD_FORM},
    {"X-Skep-Token": "é"},
    {"Authorization": f"Bearer {GOOD_FORM}", "X-Skep-Token": "skep_" + "B" * 43},
    {"Cookie": f"token={GOOD_FORM}"},
]


@pytest.mark.parametrize("headers", NO_CREDENTIALS, ids=str)
async def test_no_route_lets_anybody_in_without_a_good_token(nobody, headers):
    """Missing, malformed, unknown, of another scheme, two of them: 401 with a challenge, on every route."""
    for operation in CLOSED:
        answer = await nobody(operation.method, path_of(operation), headers=headers)
        assert answer.status == 401, (operation, answer.text)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json["code"].startswith("token_")


@pytest.mark.parametrize("scope", list(Scope))
async def test_every_route_refuses_a_token_without_its_scope(caller_with, scope):
    """A token with all scopes but the needed one is told which one is missing."""
    caller = await caller_with(scope)
    for operation in CLOSED:
        if Scope(operation.scope) in IMPLIES[scope]:
            continue
        answer = await caller(operation.method, path_of(operation))
        assert (answer.status, answer.json["code"]) == (403, "scope_missing"), operation
        assert operation.scope in answer.json["detail"]


async def test_every_route_refuses_a_revoked_token_at_once(admin, caller_with):
    """The token worked a moment ago."""
    caller = await caller_with("admin")
    tokens = (await admin("GET", "tokens")).json["items"]
    assert (await caller("GET", "version")).status == 200
    assert (await admin("DELETE", f"tokens/{tokens[-1]['id']}")).status == 204

    for operation in CLOSED:
        answer = await caller(operation.method, path_of(operation))
        assert (answer.status, answer.json["code"]) == (401, "token_revoked"), operation


async def test_every_route_refuses_a_token_for_another_project(admin, caller_with):
    """Asking for a project that the token is not of is refused everywhere, by header and by argument."""
    await admin("POST", "projects", json={"name": "other"})
    caller = await caller_with("admin")

    for operation in CLOSED:
        by_header = await caller(operation.method, path_of(operation), headers={"X-Skep-Project": "other"})
        by_argument = await caller(operation.method, path_of(operation) + "?project=other")
        for answer in (by_header, by_argument):
            assert (answer.status, answer.json["code"]) == (403, "project_forbidden"), operation


async def test_a_token_for_everything_chooses_the_project(admin, caller_with):
    """A thing of another project is not there, and its token cannot reach ours."""
    await admin("POST", "projects", json={"name": "other"})
    await admin("PUT", "secrets/OURS", json={"value": "a-value"}, headers={"X-Skep-Project": "other"})
    theirs = await caller_with("admin")

    names = [item["name"] for item in (await admin("GET", "secrets?project=other")).json["items"]]
    assert names == ["OURS"]
    assert (await theirs("GET", "secrets")).json["items"] == []
    assert (await theirs("DELETE", "secrets/OURS")).status == 404
    assert (await admin("GET", "secrets?project=other", headers={"X-Skep-Project": "default"})).status == 422
    assert (await admin("GET", "secrets?project=none")).status == 404
    assert (await admin("GET", "secrets", headers={"X-Skep-Project": "../x"})).status == 422


async def test_both_headers_carry_a_token(admin, nobody):
    """`Authorization: Bearer`, in any case, or `X-Skep-Token`; the same one twice is fine."""
    for headers in (
        {"X-Skep-Token": admin.token},
        {"Authorization": f"bearer {admin.token}"},
        {"Authorization": f"Bearer {admin.token}", "X-Skep-Token": admin.token},
    ):
        assert (await nobody("GET", "version", headers=headers)).status == 200


@pytest.mark.parametrize("path", sorted(path for path in OPEN - {"/readyz"} if "{" not in path))
async def test_what_is_open_answers_anybody(nobody, path):
    """Health and documentation need no token."""
    assert (await nobody("GET", path)).status == 200
