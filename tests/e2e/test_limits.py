"""What agents do wrong ends in words that tell it apart, and touches nobody else."""

import pytest
from acting import ACTING

from skep.testing.wait import until_sync

pytestmark = pytest.mark.root

SMALL = {"memory_mb": 64, "disk_mb": 32, "pids": 32, "cpus": 1}


@pytest.fixture(scope="session")
def made(skep):
    """Names of agents that were made on this installation."""
    return set()


@pytest.fixture
def acting(user, made):
    """An agent with small limits that does what its inputs say."""
    if "acting" not in made:
        made.add(user.agent("acting", ACTING, resources=SMALL))
    return "acting"


@pytest.fixture
def neighbour(user, acting):
    """A run that ticks beside what the test does, and must not notice."""
    run_id = user.start(acting, {"do": "tick", "ticks": 10})
    user.until_printed(run_id, "tick 0")
    yield run_id
    ended = user.ended(run_id)
    assert ended["status"] == "succeeded"
    assert ended["output"]["stdout"].splitlines() == [f"tick {number}" for number in range(10)] + ["end"]


@pytest.mark.parametrize("code", [1, 77, 255])
def test_exit_codes_are_kept(user, acting, code):
    """A run of an agent that ends with a code of its own fails with exactly that code."""
    ended = user.run(acting, {"do": "exit", "code": code})

    assert (ended["status"], ended["exit_code"], ended["error"]["code"]) == ("failed", code, "exit_code")


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (15, "SIGTERM")])
def test_signals_are_no_exit_codes(user, acting, number, name):
    """An agent that a signal ended is told apart from one that ended with a code, by the signal's name."""
    ended = user.run(acting, {"do": "signal", "number": number})

    assert (ended["status"], ended["error"]["code"]) == ("failed", "signaled")
    assert name in ended["error"]["message"]


def test_used_up_memory_is_told(user, acting, neighbour):
    """Who uses up the memory is ended, and told that it was that; a kill -9 looks otherwise."""
    ended = user.run(acting, {"do": "memory"})

    assert (ended["status"], ended["error"]["code"]) == ("failed", "out_of_memory")
    assert "memory_mb" in ended["error"]["hint"]


def test_used_up_processes_hit_only_the_agent(user, acting, neighbour):
    """Who forks without end gets the kernel's error, and is told the limit; what it forked is gone with it."""
    ended = user.run(acting, {"do": "pids"})

    assert (ended["status"], ended["exit_code"], ended["error"]["code"]) == ("failed", 3, "out_of_processes")
    assert "limit of processes and threads (32)" in ended["error"]["message"]
    assert "resources.pids" in ended["error"]["hint"]
    assert "Resource temporarily unavailable" in ended["output"]["stdout"]


def test_a_full_disk_hits_only_the_agent(user, acting, neighbour):
    """Who fills its disk gets the kernel's error, and is told the limit; its words are kept all the same."""
    ended = user.run(acting, {"do": "disk"})

    assert (ended["status"], ended["exit_code"], ended["error"]["code"]) == ("failed", 1, "out_of_disk")
    assert "32 MiB of disk" in ended["error"]["message"]
    assert "resources.disk_mb" in ended["error"]["hint"]
    assert "No space left on device" in ended["output"]["stderr"]


@pytest.mark.parametrize("limit", ["pids", "disk"])
def test_who_lives_with_a_limit_succeeds(user, acting, limit):
    """An agent that meets a limit, copes and ends well has succeeded."""
    ended = user.run(acting, {"do": limit, "cope": True})

    assert (ended["status"], ended["exit_code"], ended["error"]) == ("succeeded", 0, None)


def test_artifacts_out_of_reach_are_told(user, acting):
    """A file that lies deeper than any path goes is not lost without a word."""
    ended = user.run(acting, {"do": "deep"})

    assert (ended["status"], ended["exit_code"], ended["error"]["code"]) == ("failed", 0, "artifacts_too_large")
    assert [item["path"] for item in user.get(f"/runs/{ended['id']}/artifacts")["items"]] == ["kept"]
    told = {event["type"]: event["data"] for event in user.get(f"/runs/{ended['id']}/events")["items"]}
    assert told["artifacts.left_out"]["count"] == 1


def test_the_time_limit_ends_a_run_that_ignores_term(user, acting):
    """A run whose time is up ends as such, also when it ignores TERM."""
    ended = user.run(acting, {"do": "ignore"}, timeout_s=3)

    assert (ended["status"], ended["error"]["code"]) == ("timed_out", "timed_out")
    assert ended["error"]["message"].startswith("The time limit of 3 s passed; the agent did not end at TERM")
    assert ended["output"]["stdout"] == "waiting\n"
    assert ended["usage"]["duration_s"] < 20


def test_cancel_ends_a_run_that_ignores_term(user, acting):
    """A cancelled run is over soon, also when it ignores TERM."""
    run_id = user.start(acting, {"do": "ignore"})
    user.until_printed(run_id, "waiting")

    user.post(f"/runs/{run_id}/cancel")

    ended = user.ended(run_id, timeout_s=10)
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "cancelled")


def test_output_without_end_is_cut_in_the_middle(user, acting):
    """Who prints without end goes on running; head and tail are kept, and it is said that the middle is not."""
    run_id = user.start(acting, {"do": "print"})
    first_half = 500_000
    until_sync(
        lambda: len(user.get(f"/runs/{run_id}")["output"]["stdout"]) >= first_half, timeout_s=60, what="the first half"
    )
    assert user.get(f"/runs/{run_id}")["status"] == "running"
    for event in user.stream(f"/runs/{run_id}/log"):
        if event.data["stream"] == "system":
            assert "is shown when the command ends" in event.data["text"]
            break

    user.post(f"/runs/{run_id}/cancel")

    ended = user.ended(run_id)
    printed = ended["output"]["stdout"]
    assert ended["output"]["truncated"]
    assert printed.startswith("the head\nline 1 ")
    assert printed.endswith("the tail\n")
    assert len(printed) < 1.5 * 1024 * 1024


def test_inputs_that_break_the_schema_name_each_field(user):
    """Inputs are checked before anything is accepted; each wrong field is named."""
    schema = {
        "type": "object",
        "required": ["topic"],
        "additionalProperties": False,
        "properties": {"topic": {"type": "string"}, "count": {"type": "integer", "maximum": 5}},
    }
    agent = user.agent("particular", "print('ran')", inputs_schema=schema)

    status, problem = user.refused("POST", "/runs", {"agent_id": agent, "inputs": {"count": 9, "colour": "red"}})

    assert (status, problem["code"]) == (422, "inputs_invalid")
    assert {"topic", "count", "colour"} <= {name.rsplit(".", 1)[-1] for name in problem["fields"]}
    assert user.get(f"/runs?agent_id={agent}")["items"] == []
    assert user.run(agent, {"topic": "bees", "count": 5})["status"] == "succeeded"


def test_unknown_and_taken_names_are_refused(user, acting):
    """An agent that is not there, not built, or whose name is taken is refused with what to do."""
    assert user.refused("POST", "/runs", {"agent_id": "nobody"})[1]["code"] == "agent_not_found"
    again = {"name": acting, "source": {"files": {"main.py": ""}}}
    status, problem = user.refused("POST", "/agents", again)
    assert (status, problem["code"]) == (409, "name_taken")
    user.post("/agents", {"name": "unbuilt", "source": {"files": {"main.py": ""}}})
    status, problem = user.refused("POST", "/runs", {"agent_id": "unbuilt"})
    assert (status, problem["code"]) == (409, "agent_not_built")
    assert "build" in problem["hint"]
