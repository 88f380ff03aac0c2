"""Agents over HTTP: made, shown, changed, built, removed; and nothing of another project."""

import io
import tarfile

import pytest

from skep.kernel.settings import Settings

GIT = {"git": {"url": "https://example.org/me/agent.git", "ref": "main", "path": "sub", "secret": "TOKEN"}}
FILES = {"files": {"main.py": "print('bees')"}}


async def make(admin, name="bee", **more):
    """Make an agent."""
    answer = await admin("POST", "agents", json={"name": name, "source": FILES, **more})
    assert answer.status == 201, answer.text
    return answer.json


async def test_an_agent_is_shown_as_it_was_made(admin):
    """Every member that was sent comes back; what was left out has its default."""
    body = {
        "name": "bee",
        "title": "A bee",
        "source": GIT,
        "command": ["python", "x.py"],
        "env": {"A": "1"},
        "secrets": ["KEY"],
        "env_from_secret": {"TOKEN": "KEY"},
        "resources": {"cpus": 0.5, "memory_mb": 128, "timeout_s": 60},
        "inputs_schema": {"type": "object", "required": ["topic"]},
        "max_attempts": 2,
    }
    made = (await admin("POST", "agents", json=body)).json

    assert made["id"].startswith("agt_")
    for name in ("name", "title", "command", "env", "secrets", "env_from_secret", "inputs_schema", "max_attempts"):
        assert made[name] == body[name], name
    assert made["source"]["git"] == GIT["git"]
    assert made["resources"]["memory_mb"] == 128
    assert made["resources"]["pids"] is None
    assert (made["status"], made["kind"], made["isolation"]) == ("new", "job", "container")
    assert made["created_at"] == "2026-01-01T00:00:00.000Z"
    for name in ("bee", made["id"]):
        assert (await admin("GET", f"agents/{name}")).json == made
    assert (await admin("GET", "agents?status=new&q=be")).json["items"] == [made]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"source": {}}, "source"),
        ({"source": {**GIT, **FILES}}, "source"),
        ({"source": {"git": {"url": "https://x/y", "branch": "z"}}}, "source.git.branch"),
        ({"source": FILES, "env": {"A": 1}}, "env.A"),
        ({"source": FILES, "env": {"A": "x\0"}}, "env.A"),
        ({"source": FILES, "kind": "graph"}, "kind"),
        ({"source": FILES, "resources": {"memory_mb": 1 << 60}}, "resources.memory_mb"),
        ({"source": FILES, "max_attempts": 11}, "max_attempts"),
        ({"source": {"files": {"a": "x" * 600_000, "b": "x" * 600_000}}}, "source"),
        ({"source": FILES, "title": "a\nb"}, "title"),
    ],
)
async def test_a_wrong_member_is_named_by_its_path(admin, body, field):
    """The fields of the problem lead to what is wrong."""
    answer = await admin("POST", "agents", json={"name": "bee", **body})

    assert answer.status == 422
    assert field in answer.json["fields"], answer.text


async def test_only_what_is_sent_changes(admin):
    """PATCH leaves the rest; an explicit null is refused where it means nothing."""
    await make(admin, env={"A": "1"}, inputs_schema={"type": "object"})

    changed = (await admin("PATCH", "agents/bee", json={"title": "New", "inputs_schema": None})).json
    assert (changed["title"], changed["env"], changed["inputs_schema"]) == ("New", {"A": "1"}, None)
    same = (await admin("PATCH", "agents/bee", json={"env": {}})).json
    assert (same["title"], same["env"]) == ("New", {})
    refused = await admin("PATCH", "agents/bee", json={"env": None})
    assert refused.status == 422
    assert "null" in refused.json["detail"]


async def test_a_name_is_taken_until_its_agent_is_removed(admin):
    """409 with a stable code; DELETE answers 204 and nothing more."""
    await make(admin)
    taken = await admin("POST", "agents", json={"name": "bee", "source": FILES})
    assert (taken.status, taken.json["code"]) == (409, "name_taken")

    removed = await admin("DELETE", "agents/bee")
    assert (removed.status, removed.text) == (204, "")
    assert (await admin("GET", "agents/bee")).status == 404
    await make(admin)


async def test_a_build_is_accepted_and_can_be_cancelled(admin):
    """202 with the build; it shows at the agent, in its list and by its id."""
    await make(admin)
    begun = await admin("POST", "agents/bee/build")

    assert (begun.status, begun.json["status"]) == (202, "queued")
    build = begun.json["id"]
    assert (await admin("GET", "agents/bee")).json["status"] == "building"
    assert [b["id"] for b in (await admin("GET", "agents/bee/builds?status=queued")).json["items"]] == [build]
    cancelled = await admin("POST", f"builds/{build}/cancel")
    assert cancelled.status == 202
    assert (await admin("GET", f"builds/{build}")).json["status"] == "cancelled"
    assert (await admin("GET", "agents/bee/versions")).json == {"items": [], "next": None}


async def test_a_build_sent_twice_under_one_key_is_one(admin):
    """The replay has the same id; an empty body and none are the same question."""
    await make(admin)
    headers = {"Idempotency-Key": "b-1"}
    first = await admin("POST", "agents/bee/build", headers=headers)
    again = await admin("POST", "agents/bee/build", headers=headers)

    assert first.json["id"] == again.json["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len((await admin("GET", "builds")).json["items"]) == 1


def archive() -> bytes:
    """Pack a folder with one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("main.py")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"1\n"))
    return packed.getvalue()


async def test_an_upload_is_kept_once_under_its_key(admin):
    """The archive streams in; a repeat of it is answered from what was kept, another one refused."""
    data, headers = archive(), {"Idempotency-Key": "u-1", "Content-Type": "application/gzip"}
    first = await admin("POST", "uploads", data=data, headers=headers)
    again = await admin("POST", "uploads", data=data, headers=headers)
    other = await admin("POST", "uploads", data=data + b"x", headers=headers)

    assert first.status == 201
    assert first.json["size"] == len(data)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")
    agent = await make(admin, source={"upload": first.json["id"], "label": "here"})
    assert agent["source"]["label"] == "here"


async def test_an_upload_that_is_too_large_is_refused(admin):
    """With and without a length: 413, and nothing is kept."""

    async def streamed():
        for _ in range(40):
            yield b"x" * 32_768

    for data in (io.BytesIO(b"x" * 1_200_000), streamed()):
        answer = await admin("POST", "uploads", data=data, headers={"Content-Type": "application/gzip"})
        assert (answer.status, answer.json["code"]) == (413, "too_large")
        assert answer.json["detail"] == "The body is larger than 1 MiB, the server's SKEP_UPLOAD_LIMIT_MB."
    told = (await admin("GET", "version")).json
    assert (told["upload_limit_mb"], told["source_limit_mb"]) == (1, Settings().source_limit_mb)


async def test_things_of_another_project_are_not_there(admin):
    """Agents, builds and runs answer 404 by id and by name, whatever is asked of them."""
    await admin("POST", "projects", json={"name": "other"})
    made = await make(admin)
    build = (await admin("POST", "agents/bee/build")).json["id"]
    run = (await admin("POST", "runs", json={"agent_id": "bee"})).json["id"]
    stranger = admin.holding(admin.token, **{"X-Skep-Project": "other"})

    for method, path, body in (
        ("GET", "agents/bee", None),
        ("GET", f"agents/{made['id']}", None),
        ("PATCH", f"agents/{made['id']}", {"title": "x"}),
        ("DELETE", f"agents/{made['id']}", None),
        ("POST", f"agents/{made['id']}/build", None),
        ("GET", f"agents/{made['id']}/builds", None),
        ("GET", f"agents/{made['id']}/versions", None),
        ("GET", f"builds/{build}", None),
        ("GET", f"builds/{build}/log", None),
        ("GET", f"builds/{build}/log?follow=true", None),
        ("POST", f"builds/{build}/cancel", None),
        ("POST", "runs", {"agent_id": made["id"]}),
        ("GET", f"runs?agent_id={made['id']}", None),
        ("GET", f"runs/{run}", None),
        ("GET", f"runs/{run}/status", None),
        ("GET", f"runs/{run}/output", None),
        ("GET", f"runs/{run}/events", None),
        ("GET", f"runs/{run}/events?follow=true", None),
        ("GET", f"runs/{run}/log", None),
        ("GET", f"runs/{run}/log?follow=true", None),
        ("GET", f"runs/{run}/artifacts", None),
        ("GET", f"runs/{run}/artifacts/x", None),
        ("POST", f"runs/{run}/cancel", None),
    ):
        answer = await stranger(method, path, **({} if body is None else {"json": body}))
        assert answer.status == 404, (method, path, answer.text)
    for listing in ("agents", "builds", "runs"):
        assert (await stranger("GET", listing)).json["items"] == []
