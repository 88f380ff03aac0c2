"""Launchpad's whole story, told by one of its clients: an agent is made from a repository, built, run and answered."""

import json
import secrets

import pytest
from user import User

from skep.testing.wait import until_sync

pytestmark = pytest.mark.root

FILES = {
    "skep.yaml": """
inputs:
  type: object
  properties:
    topic: {type: string}
  required: [topic]
""",
    "main.py": """
import json, os, sys
import skep

topic = json.load(open(os.environ["SKEP_INPUT"]))["topic"]
print(f"about {topic}, {os.environ['TONE']}", flush=True)
if skep.ask(f"Publish {topic}?", choices=["yes", "no"]) == "no":
    sys.exit("not published")
json.dump(f"{topic} are published", open(os.environ["SKEP_OUTPUT"], "w"))
""",
}


class Client:
    """Speaks Launchpad's routes, with a token."""

    def __init__(self, user: User):
        self._user = User(url=user.url, token=user.token, below="")

    def __call__(self, method, path, body=None):
        """Send a request; return the answer's status and JSON."""
        answer = self._user.ask(method, path, body)
        return answer.status, answer.json

    def until(self, path, word):
        """Ask again and again until the status is *word*; return the answer."""
        seen = [None]

        def said():
            seen[0] = self("GET", path)[1]
            assert seen[0]["status"] == word or seen[0]["status"] != "ERROR", seen[0]
            return seen[0]["status"] == word

        until_sync(said, timeout_s=120, what=f"{path} to be {word}")
        return seen[0]


def test_from_a_repository_to_the_inbox(user, git):
    """Create, list, status, input, run, question, answer, output, inbox, a second image: each says what really is."""
    ask = Client(user)
    name = f"crew-{secrets.token_hex(4)}"
    git.repository(name).commit(FILES)
    config = {"agentName": "My crew", "githubUrl": git.url(name), "envs": {"TONE": "kindly", "LIMIT": 3}}

    status, made = ask("PUT", "/api/agent/create", {"userId": "ann", "config": config})
    assert (status, made["status"]) == (200, "ok"), made
    agent = f"/api/agent/{made['agentId']}"
    built = ask.until(f"{agent}/image/status", "DONE")
    assert (built["progress"], built["imageName"].startswith("agent_")) == (100, True)
    assert ask("PUT", "/api/agent/create", {"userId": "ann", "config": config})[1]["agentId"] == made["agentId"]
    (listed,) = ask("GET", "/api/agents/list/ann")[1]
    assert (listed["config"]["agentName"], listed["config"]["envs"]["LIMIT"]) == ("My crew", "3")
    assert ask("GET", f"{agent}/input")[1] == {"status": "DONE", "inputKeys": ["topic"]}

    status, refused = ask("POST", f"{agent}/run/start", {"inputs": {}})
    assert (status, set(refused)) == (422, {"error", "status_code"})
    run = f"{agent}/run/{ask('POST', f'{agent}/run/start', {'inputs': {'topic': 'bees'}})[1]['runId']}"
    waiting = ask.until(f"{run}/status", "WAITING_FOR_FEEDBACK")
    assert (waiting["question"]["text"], waiting["stdout"]) == ("Publish bees?", "about bees, kindly\n")
    (item,) = ask("GET", "/api/inbox/ann")[1]
    assert (item["status"], item["text"]) == ("WAITING_FOR_FEEDBACK", "Publish bees?")
    assert ask("POST", f"{run}/answer", {"answer": "yes"})[0] == 200
    done = ask.until(f"{run}/output", "DONE")
    assert (done["exit_code"], done["result"], done["output"]["stderr"]) == (0, "bees are published", "")

    second = f"{agent}/run/{ask('POST', f'{agent}/run/start', {'inputs': {'topic': 'wasps'}})[1]['runId']}"
    ask.until(f"{second}/status", "WAITING_FOR_FEEDBACK")
    ask("POST", f"{second}/answer", {"answer": "no"})
    failed = ask.until(f"{second}/status", "ERROR")
    assert (failed["exit_code"], failed["stderr"]) == (1, "not published\n")
    found = [(one["type"], one["status"]) for one in ask("GET", "/api/inbox/ann")[1]]
    assert found == [("JOB_RUN", "ERROR"), ("JOB_RUN", "DONE")]

    status, again = ask("POST", f"{agent}/image/create", {"githubUrl": config["githubUrl"]})
    assert (status, again["status"]) == (200, "DONE"), json.dumps(again)
