"""Rule 9: every id on every route is checked against the caller's project."""

import itertools

import pytest

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def things(attacker):
    """One of everything in the project `default`, by the name of the path's parameter."""
    run = attacker.run('open(os.environ["SKEP_ARTIFACTS"] + "/a.txt", "w").write("mine")')
    builds = attacker.ask(f"/api/v1/agents/{run['agent_id']}/builds")["items"]
    attacker.send("PUT", "/api/v1/secrets/MINE", {"value": "mine"})
    token = attacker.make("/api/v1/tokens", {"name": "mine", "scopes": ["read"]})
    return {"agent": run["agent_id"], "run": run["id"], "build": builds[0]["id"], "path": "a.txt", "token": token["id"]}


@pytest.fixture(scope="module")
def stranger(attacker):
    """A token that may do everything, in another project."""
    project = attacker.make("/api/v1/projects", {"name": "elsewhere"})["id"]
    wanted = {"name": "stranger", "scopes": ["admin"]}
    return attacker.make("/api/v1/tokens", wanted, headers={"X-Skep-Project": project})["token"]


#: What a route needs beside ids; everything that is sent is right.
BODIES = {
    ("PATCH", "/api/v1/agents/{agent}"): {"title": "taken"},
    ("POST", "/api/v1/runs/{run}/answer"): {"answer": "taken"},
}
#: Open to everybody: the signature of what is sent says whose it is (`test_webhooks.py`).
PUBLIC = ("/hooks/{agent}",)


def routes(attacker, things):
    """List (method, path with real ids, body) of every described route that names a thing by its id."""
    for path, methods in attacker.ask("/api/v1/openapi.json")["paths"].items():
        if path in PUBLIC:
            continue
        names = [part.partition("}")[0] for part in path.split("{")[1:]]
        # A name says nothing by itself: it is looked for in the caller's own project.
        if names and not {"name", "host"} & set(names):
            filled = path.format(**{name: things[name] for name in names})
            for method in methods:
                yield method.upper(), filled, BODIES.get((method.upper(), path))


def test_every_route_with_another_project_s_ids(attacker, things, stranger):
    """Whatever exists elsewhere does not exist for a stranger, whatever the route; for its owner it does."""
    tried = list(routes(attacker, things))
    answers = {(method, path): attacker.send(method, path, body, token=stranger)[0] for method, path, body in tried}

    assert len(tried) >= 16
    assert {what: status for what, status in answers.items() if status != 404} == {}
    reading = [path for method, path, _ in tried if method == "GET"]
    assert [attacker.send("GET", path)[0] for path in reading] == [200] * len(reading)
    assert attacker.ask(f"/api/v1/agents/{things['agent']}")["title"] != "taken"


def test_names_and_ids_in_bodies_and_arguments(attacker, things, stranger):
    """An agent, an upload or a project of somebody else is not there by name or id inside a request, either."""
    name = attacker.ask(f"/api/v1/agents/{things['agent']}")["name"]
    upload = attacker.upload(b"anything")

    def sent(method, path, body=None, headers=None):
        return attacker.send(method, path, body, token=stranger, headers=headers)[0]

    for agent in (things["agent"], name):
        assert sent("POST", "/api/v1/runs", {"agent_id": agent, "inputs": {}}) == 404
        assert sent("GET", f"/api/v1/runs?agent_id={agent}") == 404
    assert sent("POST", "/api/v1/agents", {"name": "thief", "source": {"upload": upload}}) == 404
    assert sent("GET", "/api/v1/agents", headers={"X-Skep-Project": "default"}) == 403
    assert sent("POST", "/api/v1/tokens", {"name": "more", "scopes": ["admin"], "everywhere": True}) == 403
    assert sent("POST", "/api/v1/projects", {"name": "mine-too"}) == 403
    assert [sent("GET", "/api/v1/doctor"), sent("POST", "/api/v1/doctor/repair")] == [403, 403]


def test_listings_end_at_the_project(attacker, things, stranger):
    """No listing of a stranger shows anything of the others, with whatever filter or forged cursor."""
    cursors = ("", "&cursor=x", "&cursor=..", "&cursor=' OR 1=1--", f"&cursor={things['run']}")
    filters = ("", "&q=%25", "&q=_", "&q=' OR 1=1--")
    for noun, cursor, words in itertools.product(("agents", "runs", "builds", "secrets"), cursors, filters):
        path = f"/api/v1/{noun}?limit=100{cursor}{words}".replace(" ", "%20")
        status, body = attacker.send("GET", path, token=stranger)
        assert status == 422 or (status, body["items"]) == (200, []), (path, body)
    mine = attacker.send("GET", "/api/v1/audit?limit=100", token=stranger)[1]["items"]
    assert {entry["resource"] for entry in mine} & set(things.values()) == set()


def test_an_idempotency_key_is_its_token_s(attacker, things, stranger):
    """The same key and body of another token is another request: its answer is not given away."""
    body = {"agent_id": things["agent"], "inputs": {"code": ""}}
    key = {"Idempotency-Key": "guessed"}
    first = attacker.make("/api/v1/runs", body, headers=key)

    assert attacker.make("/api/v1/runs", body, headers=key)["id"] == first["id"]
    assert attacker.send("POST", "/api/v1/runs", body, token=stranger, headers=key)[0] == 404
    assert attacker.send("POST", "/api/v1/runs", {**body, "timeout_s": 5}, headers=key)[0] == 422
