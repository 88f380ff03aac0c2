"""The API, as a program uses it that knows HTTP and nothing else."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from acting import ACTING

pytestmark = pytest.mark.root


@pytest.fixture(scope="session")
def made(skep):
    """Names of agents that were made on this installation."""
    return set()


@pytest.fixture
def acting(user, made):
    """An agent that does what its inputs say."""
    if "by-http" not in made:
        made.add(user.agent("by-http", ACTING))
    return "by-http"


def test_the_paths_of_launchpads_readme(user):
    """List, register, build, run, ask for status and output: what Launchpad's README promises, with a token."""
    agent = user.post("/agents", {"name": "launched", "source": {"files": {"main.py": "print('launched')"}}})
    build = user.post(f"/agents/{agent['id']}/build")
    assert (agent["status"], build["status"]) == ("new", "queued")
    assert agent["id"] in [one["id"] for one in user.get("/agents")["items"]]

    run = user.post("/runs", {"agent_id": agent["id"], "inputs": {}})
    assert run["run_id"] == run["id"]
    user.ended(run["id"])

    for path in ("status", "output"):
        told = user.get(f"/runs/{run['id']}/{path}")
        assert (told["status"], told["exit_code"], told["error"]) == ("succeeded", 0, None)
        assert told["output"] == {"stdout": "launched\n", "stderr": "", "truncated": False}
    assert user.ask("GET", f"/runs/{run['id']}/status", Authorization="Bearer nobody").status == 401


def test_a_log_is_resumed_where_it_was_left(user, acting):
    """Who reconnects with Last-Event-ID gets each piece of the log once, and the end."""
    run_id = user.start(acting, {"do": "tick", "ticks": 10})
    events = user.stream(f"/runs/{run_id}/log")
    first = next(events)
    events.close()

    rest = list(user.stream(f"/runs/{run_id}/log", Last_Event_ID=first.id))

    assert rest[-1].name == "end"
    assert rest[-1].data["status"] == "succeeded"
    text = first.data["text"] + "".join(event.data["text"] for event in rest[:-1])
    assert text.splitlines() == [f"tick {number}" for number in range(10)] + ["end"]
    assert user.ask("GET", f"/runs/{run_id}/log", Accept="text/plain").raw.decode() == text


def test_events_are_resumed_where_they_were_left(user, acting):
    """Events are numbered without a gap; who reconnects gets the later ones only."""
    run_id = user.start(acting, {"do": "tick", "ticks": 3})
    events = user.stream(f"/runs/{run_id}/events")
    first = next(events)
    events.close()
    assert (first.id, first.data["type"]) == ("1", "run.queued")

    rest = list(user.stream(f"/runs/{run_id}/events", Last_Event_ID="1"))

    assert [event.id for event in rest[:-1]] == [str(number) for number in range(2, len(rest) + 1)]
    assert rest[-2].data["type"] == "run.succeeded"
    assert (rest[-1].name, rest[-1].data["status"]) == ("end", "succeeded")


def test_an_idempotency_key_makes_one_run(user, acting):
    """Repeats get the first answer, also all at once; another body is refused; another path is another thing."""
    body = {"agent_id": acting, "inputs": {"n": 1}}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: user.ask("POST", "/runs", body, Idempotency_Key="k-1"), range(4)))

    assert {answer.status for answer in answers} <= {202, 409}
    again = user.ask("POST", "/runs", body, Idempotency_Key="k-1")
    assert (again.status, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert {answer.json["id"] for answer in answers if answer.status == 202} == {again.json["id"]}
    mine = [run for run in user.get(f"/runs?agent_id={acting}&limit=100")["items"] if run["inputs"] == {"n": 1}]
    assert len(mine) == 1
    status, problem = user.refused("POST", "/runs", {"agent_id": acting}, Idempotency_Key="k-1")
    assert (status, problem["code"]) == (422, "idempotency_mismatch")
    upload = user.ask("POST", "/uploads", b"x" * 100, Idempotency_Key="k-1", Content_Type="application/gzip")
    assert upload.json["sha256"] == hashlib.sha256(b"x" * 100).hexdigest()


def test_a_listing_is_read_to_its_end(user, acting):
    """Pages join without gap or repeat, filters hold, and what is no cursor is refused."""
    wanted = {user.start(acting) for _ in range(5)}
    for run_id in wanted:
        user.ended(run_id)

    seen, cursor = [], ""
    while cursor is not None:
        page = user.get(f"/runs?agent_id={acting}&limit=2" + (f"&cursor={cursor}" if cursor else ""))
        assert len(page["items"]) <= 2
        seen += [run["id"] for run in page["items"]]
        cursor = page["next"]

    assert len(seen) == len(set(seen))
    assert wanted <= set(seen)
    assert all(run["status"] == "succeeded" for run in user.get("/runs?status=succeeded")["items"])
    assert user.refused("GET", "/runs?status=nonsense")[0] == 422
    assert user.refused("GET", "/runs?cursor=nonsense")[0] == 422


def test_a_run_that_waits_for_its_build(user):
    """A run asked for while the first build goes on waits for it."""
    user.post("/agents", {"name": "soon", "source": {"files": {"main.py": "print('now')"}}})
    user.post("/agents/soon/build")

    assert user.run("soon")["output"]["stdout"] == "now\n"


def test_configuration_makes_versions(user, acting):
    """A change of configuration is the next version; a run says with which it ran."""
    agent = user.agent("changing", "import os; print(os.environ['MOOD'])", env={"MOOD": "good"})
    first = user.run(agent)

    answer = user.ask("PATCH", f"/agents/{agent}", {"env": {"MOOD": "better"}})

    assert answer.status == 200
    second = user.run(agent)
    assert (first["output"]["stdout"], second["output"]["stdout"]) == ("good\n", "better\n")
    assert first["version_id"] != second["version_id"]
    assert [version["number"] for version in user.get(f"/agents/{agent}/versions")["items"]] == [2, 1]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", None, 404, "no_such_route"),
        ("POST", "/agents/nobody", {}, 405, "method_not_allowed"),
        ("POST", "/runs", b"{", 422, "invalid_json"),
        ("POST", "/runs", {"agent": "x"}, 422, "invalid"),
        ("GET", "/runs/run_01m7wd1hmcctn2xgjrq8gn96d3", None, 404, "run_not_found"),
        ("GET", "/builds/none", None, 404, "build_not_found"),
    ],
)
def test_errors_have_one_shape(user, method, path, body, status, code):
    """Whatever is wrong is answered as a problem with a stable code, and nothing of the server's inside."""
    assert (user.refused(method, path, body)[0], user.refused(method, path, body)[1]["code"]) == (status, code)


@pytest.mark.parametrize("token", ["", "nobody", "skep_" + "x" * 43])
def test_without_a_good_token_nothing_is_told(user, token):
    """No token or a wrong one is 401 everywhere below /api/v1 but the description."""
    stranger = type(user)(url=user.url, token=token)

    for path in ("/agents", "/runs", "/audit", "/doctor", "/usage"):
        answer = stranger.ask("GET", path)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert stranger.get("/openapi.json")["openapi"].startswith("3.1")
