"""Agents and their images on Launchpad's routes."""

import asyncio

import pytest
from launchpad import SCHEMA, URL, crew

from skep.edge.dialects.launchpad.waiting import until_built
from skep.testing.wait import until

# ---- agents


async def test_an_agent_is_put_there_and_built(admin):
    """Owner, title, source and environment are what was sent; values that are no texts are their JSON."""
    body = crew(user=7, KEY="k", DEBUG=True, LIMIT=3, LIST=["a", 1])
    made = await admin("PUT", "/api/agent/create", json=body)

    assert (made.status, made.json["status"]) == (200, "ok")
    assert made.json["image"]["status"] == "IN_PROGRESS"
    native = (await admin("GET", f"agents/{made.json['agentId']}")).json
    assert (native["owner"], native["title"], native["name"]) == ("7", "My crew", "crew")
    assert native["source"]["git"]["url"] == URL
    assert native["env"] == {"KEY": "k", "DEBUG": "true", "LIMIT": "3", "LIST": '["a", 1]'}
    shown = (await admin("GET", f"/api/agent/{made.json['agentId']}")).json
    assert shown["userId"] == "7"
    assert shown["config"] == {"agentName": "My crew", "githubUrl": URL, "envs": native["env"], "inputKeys": []}
    assert (await admin("GET", "/api/agents/list/7")).json == [shown]


async def test_the_same_user_and_name_is_the_same_agent(admin, agent):
    """Sent again it changes nothing; with another repository it is brought to that, and built."""
    again = (await admin("PUT", "/api/agent/create", json=crew())).json
    assert (again["agentId"], again["image"]["status"]) == (agent, "DONE")
    assert len((await admin("GET", f"agents/{agent}/builds")).json["items"]) == 1

    moved = (await admin("PUT", "/api/agent/create", json=crew(url=URL + "-2"))).json
    assert (moved["agentId"], moved["image"]["status"]) == (agent, "IN_PROGRESS")
    assert len((await admin("GET", f"agents/{agent}/builds")).json["items"]) == 2


async def test_users_see_their_own_agents(admin, agent):
    """The list is the user's; a name with a slash or a space is a user's as well."""
    await admin("PUT", "/api/agent/create", json=crew(user="bob b@example.org"))

    assert [one["id"] for one in (await admin("GET", "/api/agents/list/ann")).json] == [agent]
    listed = (await admin("GET", "/api/agents/list/bob%20b@example.org")).json
    assert [one["userId"] for one in listed] == ["bob b@example.org"]
    assert (await admin("GET", "/api/agents/list/nobody")).json == []


async def test_input_keys_come_from_the_schema(admin, builds):
    """They were a stub; nothing is known before something was built."""
    new = (await admin("POST", "agents", json={"name": "new", "source": {"files": {"main.py": ""}}})).json["id"]
    assert (await admin("GET", f"/api/agent/{new}/input")).json == {"status": "UNKNOWN", "inputKeys": []}
    build = (await admin("POST", f"agents/{new}/build")).json["id"]
    assert (await admin("GET", f"/api/agent/{new}/input")).json == {"status": "IN_PROGRESS", "inputKeys": []}
    await builds.succeed(build, SCHEMA)
    assert (await admin("GET", f"/api/agent/{new}/input")).json == {"status": "DONE", "inputKeys": ["topic", "year"]}


# ---- images


async def test_the_state_of_the_image_is_the_builds(admin, builds):
    """It was a constant: now the step, how far it is, and how it ended."""
    made = (await admin("PUT", "/api/agent/create", json=crew())).json
    agent, build = made["agentId"], made["image"]["buildId"]

    async def state():
        return (await admin("GET", f"/api/agent/{agent}/image/status")).json

    assert (await state())["progress"] == 0
    seen = []
    for step in ("fetching", "installing", "sealing", "a step of tomorrow"):
        await builds.go_on(build, step)
        found = await state()
        assert found["status"] == "IN_PROGRESS"
        assert step in found["message"]
        seen.append(found["progress"])
    assert seen[0] < seen[1] < seen[2] < 100
    await builds.fail(build)
    failed = await state()
    assert (failed["status"], failed["message"]) == ("ERROR", "It has no entry. Add a main.py.")
    assert failed["imageName"] is None


async def test_an_agent_that_was_never_built_says_so(admin):
    """PENDING, which is the word of an image that is not there."""
    new = (await admin("POST", "agents", json={"name": "new", "source": {"files": {"main.py": ""}}})).json["id"]
    assert (await admin("GET", f"/api/agent/{new}/image/status")).json["status"] == "PENDING"


async def begun(admin, agent, number):
    """Wait for the agent's build of this number; return its id."""
    found = []

    async def there():
        found[:] = (await admin("GET", f"agents/{agent}/builds")).json["items"]
        return len(found) == number

    await until(there, what="the build to begin")
    return found[0]["id"]


async def test_a_request_for_an_image_is_held_until_it_is_built(admin, builds, agent):
    """DONE with the image's name; another repository becomes the agent's."""
    asked = asyncio.ensure_future(
        admin("POST", f"/api/agent/{agent}/image/create", json={"githubUrl": URL + "-2", "agentName": "ignored"})
    )
    build = await begun(admin, agent, 2)
    assert not asked.done()
    await builds.succeed(build, SCHEMA)
    answer = await asked

    image = (await admin("GET", f"builds/{build}")).json["image_id"]
    assert (answer.status, answer.json["status"], answer.json["progress"]) == (200, "DONE", 100)
    assert answer.json["imageName"] == f"agent_{agent}_image_{image}"
    assert (await admin("GET", f"agents/{agent}")).json["source"]["git"]["url"] == URL + "-2"


async def test_a_build_that_fails_answers_with_the_failures_words(admin, builds, agent):
    """ERROR; without a body the agent's own repository is built."""
    asked = asyncio.ensure_future(admin("POST", f"/api/agent/{agent}/image/create"))
    await builds.fail(await begun(admin, agent, 2))
    answer = await asked

    assert (answer.status, answer.json["status"]) == (200, "ERROR")
    assert answer.json["message"] == "It has no entry. Add a main.py."


async def test_a_repository_that_is_the_agents_already_keeps_its_ref(admin):
    """What else was said of the source is not lost because a client names the URL again."""
    source = {"git": {"url": URL, "ref": "main", "path": "sub"}}
    agent = (await admin("POST", "agents", json={"name": "bee", "source": source})).json["id"]
    asked = asyncio.ensure_future(admin("POST", f"/api/agent/{agent}/image/create", json={"githubUrl": URL}))
    build = await begun(admin, agent, 1)
    await admin("POST", f"builds/{build}/cancel")

    assert (await asked).json["status"] == "ERROR"
    assert (await admin("GET", f"builds/{build}")).json["source"]["git"]["ref"] == "main"


async def test_a_server_that_ends_answers_who_waits_for_an_image(app, admin, agent):
    """IN_PROGRESS: the build goes on at the next server, and its state can be asked for."""
    asked = asyncio.ensure_future(admin("POST", f"/api/agent/{agent}/image/create"))
    await begun(admin, agent, 2)
    app.state.streams.end_all()

    assert (await asked).json["status"] == "IN_PROGRESS"


class Held:
    """A request whose caller hangs up when a test says so."""

    def __init__(self):
        self.gone = asyncio.Event()

    async def receive(self):
        """Say that the caller is gone, once they are."""
        await self.gone.wait()
        return {"type": "http.disconnect"}


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_nobody_is_waited_for_without_end(app, admin, services, agent, hangs_up):
    """A caller who hangs up ends the wait, and so does the bound; the build goes on."""
    principal = await services.access.authenticate(admin.token, None)
    build = await services.agents.build(principal, agent)
    request = Held()
    if hangs_up:
        request.gone.set()
    bound_s = 3600 if hangs_up else 0
    await until_built(request, services, app.state.streams, principal, build.id, bound_s)

    assert (await services.images.build(principal, build.id)).status == "queued"
