"""Launchpad's routes: its words and shapes, over what the native API shows as well."""

import asyncio
import io

import pytest
from by_hand import Builds, Worker

from skep.edge.api.app import make_api
from skep.edge.api.openapi import operations
from skep.edge.api.waiting import Waiting
from skep.edge.dialects.launchpad.waiting import until_built
from skep.edge.dialects.spoken import routes, worded
from skep.kernel.settings import Settings
from skep.product.access.model import IMPLIES, Scope
from skep.product.images.model import Failure
from skep.product.runs.model import Question, QuestionId, RunId, RunStatus
from skep.testing.wait import until

OPERATIONS = operations(routes())
URL = "https://github.com/me/crew"
SCHEMA = {"type": "object", "properties": {"topic": {}, "year": {"type": "integer"}}}


def crew(user="ann", name="My crew", url=URL, **envs):
    """Return what a front end sends to make an agent."""
    return {"userId": user, "config": {"agentName": name, "githubUrl": url, "envs": envs}}


@pytest.fixture
def builds(db, stores, logs, hub, services):
    """Moves builds by hand."""
    return Builds(db, stores, logs, hub, services.agents)


@pytest.fixture
def worker(db, stores, logs, blobs, hub):
    """Moves runs by hand."""
    return Worker(db, stores, logs, blobs, hub)


@pytest.fixture
async def agent(admin, builds):
    """The id of an agent of ann's that is built and takes a topic and a year."""
    made = await admin("PUT", "/api/agent/create", json=crew())
    assert made.status == 200, made.text
    await builds.succeed(made.json["image"]["buildId"], SCHEMA)
    return made.json["agentId"]


def is_fault(answer, status):
    """Tell whether an answer is an error as Launchpad's clients know it, and nothing else."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json"), answer.text
    assert set(answer.json) == {"error", "status_code"}
    assert answer.json["status_code"] == status
    assert answer.json["error"]
    return True


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


# ---- runs


async def test_a_run_is_one_object_for_status_and_output(admin, agent, worker, logs):
    """Both paths answer the same; output is what was printed so far, and is there at every time."""
    started = await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {"topic": "bees", "year": 2026}})
    run = RunId(started.json["runId"])
    assert started.json == {"status": "RUNNING", "runId": run}

    async def state(what="status"):
        answer = await admin("GET", f"/api/agent/{agent}/run/{run}/{what}")
        assert answer.status == 200, answer.text
        return answer.json

    waiting = await state()
    assert (waiting["status"], waiting["output"]) == ("PENDING", {"stdout": "", "stderr": ""})
    log_id = await worker.attempt(run, 1)
    await logs.append(log_id, "stdout", 0, b"bees\n", 0)
    await logs.append(log_id, "stderr", 0, b"oh\n", 0)
    going_on = await state("output")
    assert (going_on["status"], going_on["stdout"]) == ("RUNNING", "bees\n")
    await worker.end(run, exit_code=0, result={"n": 3})
    done = await state()
    assert done == await state("output")
    assert (done["status"], done["exit_code"], done["result"]) == ("DONE", 0, {"n": 3})
    assert done["output"] == {"stdout": done["stdout"], "stderr": "oh\n"}
    assert (done["runId"], done["agentId"], done["inputs"]["topic"]) == (run, agent, "bees")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (RunStatus.QUEUED, "PENDING"),
        (RunStatus.RUNNING, "RUNNING"),
        (RunStatus.WAITING, "WAITING_FOR_FEEDBACK"),
        (RunStatus.SUCCEEDED, "DONE"),
        (RunStatus.FAILED, "ERROR"),
        (RunStatus.CANCELLED, "ERROR"),
        (RunStatus.TIMED_OUT, "ERROR"),
        (RunStatus.LOST, "ERROR"),
    ],
)
async def test_each_status_has_its_word(admin, agent, worker, status, word):
    """A crashed agent is ERROR and says why: it was DONE."""
    run = RunId((await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {}})).json["runId"])
    failure = Failure(code="exit_code", message="It ended with 3.") if status is RunStatus.FAILED else None
    await worker.end(run, status, failure=failure, exit_code=3 if failure else None)

    found = (await admin("GET", f"/api/agent/{agent}/run/{run}/status")).json
    assert found["status"] == word
    if failure:
        assert (found["error"], found["exit_code"]) == ("It ended with 3.", 3)


async def test_a_run_is_found_under_its_own_agent_only(admin, agent):
    """By the agent's id or name; under another agent there is none."""
    run = (await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {}})).json["runId"]
    other = (await admin("PUT", "/api/agent/create", json=crew(name="Other"))).json["agentId"]

    assert (await admin("GET", f"/api/agent/crew/run/{run}/status")).json["runId"] == run
    assert is_fault(await admin("GET", f"/api/agent/{other}/run/{run}/status"), 404)


async def test_what_cannot_be_started_says_why(admin, agent, builds):
    """Inputs that do not fit the schema are named; an agent that is not built is a conflict."""
    wrong = await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {"year": "x"}})
    assert is_fault(wrong, 422)
    assert "year" in wrong.json["error"]
    broken = (await admin("PUT", "/api/agent/create", json=crew(name="Broken"))).json
    await builds.fail(broken["image"]["buildId"])
    assert is_fault(await admin("POST", f"/api/agent/{broken['agentId']}/run/start", json={"inputs": {}}), 409)


async def test_a_run_sent_twice_under_one_key_is_one(admin, agent):
    """The Idempotency-Key of the native API holds here too."""
    headers = {"Idempotency-Key": "r-1"}
    path, body = f"/api/agent/{agent}/run/start", {"inputs": {}}
    first, again = [await admin("POST", path, json=body, headers=headers) for _ in range(2)]

    assert first.json == again.json
    assert again.headers["Idempotent-Replayed"] == "true"


# ---- the inbox


async def test_the_inbox_holds_what_is_over_and_what_waits(admin, agent, worker):
    """Newest first, with a text for people; what goes on and what is other users' is not in it."""
    await admin("POST", "agents", json={"name": "bobs", "owner": "bob", "source": {"git": {"url": URL}}})
    ends = [
        (RunStatus.SUCCEEDED, {"result": "Bees hum."}, "DONE", "Bees hum."),
        (RunStatus.SUCCEEDED, {"result": {"n": 1}}, "DONE", "The run is done."),
        (RunStatus.FAILED, {"failure": Failure(code="x", message="It broke.")}, "ERROR", "It broke."),
        (RunStatus.CANCELLED, {}, "ERROR", "The run was cancelled."),
        (RunStatus.WAITING, {}, "WAITING_FOR_FEEDBACK", "The run waits for an answer."),
        (RunStatus.RUNNING, {}, None, None),
    ]
    for status, changes, _, _ in ends:
        run = (await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {}})).json["runId"]
        await worker.end(RunId(run), status, **changes)

    items = (await admin("GET", "/api/inbox/ann")).json
    assert [(one["status"], one["text"]) for one in reversed(items)] == [(w, t) for _, _, w, t in ends if w]
    for one in items:
        assert (one["type"], one["agentName"], one["content"]) == ("JOB_RUN", "crew", one["text"])
    assert (await admin("GET", "/api/inbox/bob")).json == []


@pytest.fixture
async def question(admin, agent, db, stores, worker, clock):
    """What a run of ann's agent asks."""
    run = RunId((await admin("POST", f"/api/agent/{agent}/run/start", json={"inputs": {}})).json["runId"])
    await worker.end(run, RunStatus.WAITING)
    asked = Question(
        id=QuestionId("qst_" + "0" * 26),
        run_id=run,
        project_id=(await admin("GET", f"runs/{run}")).json["project_id"],
        key="k",
        text="Go on?",
        choices=("yes", "no"),
        asked_ms=clock.now_ms(),
        expires_ms=clock.now_ms() + 3_600_000,
    )
    await db.write(lambda tx: stores.questions.insert(tx, asked))
    return asked


async def test_what_waits_for_feedback_is_answered(admin, agent, question):
    """The run and the inbox say what it asks; an answer that does not fit is refused, one that fits is taken once."""
    path = f"/api/agent/{agent}/run/{question.run_id}"
    waiting = (await admin("GET", f"{path}/status")).json
    assert waiting["status"] == "WAITING_FOR_FEEDBACK"
    assert waiting["question"] == {"id": question.id, "text": "Go on?", "choices": ["yes", "no"]}
    (item,) = (await admin("GET", "/api/inbox/ann")).json
    assert (item["status"], item["text"], item["id"]) == ("WAITING_FOR_FEEDBACK", "Go on?", question.run_id)

    assert is_fault(await admin("POST", f"{path}/answer", json={"answer": "perhaps"}), 422)
    answered = await admin("POST", f"{path}/answer", json={"answer": "yes", "question": question.id})
    assert (answered.status, answered.json["status"], answered.json["question"]) == (200, "RUNNING", None)
    assert is_fault(await admin("POST", f"{path}/answer", json={"answer": "no"}), 409)
    other = (await admin("PUT", "/api/agent/create", json=crew(name="Other"))).json["agentId"]
    assert is_fault(await admin("POST", f"/api/agent/{other}/run/{question.run_id}/answer", json={"answer": 1}), 404)


# ---- the rest


async def test_echo_says_what_was_sent(admin):
    """Whatever JSON it is."""
    for sent in ({"a": [1, None]}, [], "x", 3, None):
        answer = await admin("POST", "/api/echo", json=sent)
        assert answer.json == {"status": "OK", "echo": sent}
