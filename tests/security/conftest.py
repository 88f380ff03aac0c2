"""A whole installation per module, and an attacker: someone with a token whose agents do what they please."""

import json
import secrets
import urllib.error
import urllib.request
from typing import Any

import pytest

from skep.testing.installation import installation
from skep.testing.wait import until_sync

FINAL = ("succeeded", "failed", "cancelled", "timed_out", "lost")
#: Executes what its inputs hold.
OBEDIENT = 'import json, os, sys\ncode = json.loads(open(os.environ["SKEP_INPUT"]).read())["code"]\nexec(code)\n'


class Attacker:
    """Calls the API of an installation, and has code executed in its sandboxes."""

    def __init__(self, skep):
        self.skep = skep
        self.token = skep.token

    def send(self, method, path, body=None, *, token=None, headers=None, data=None):
        """Send a request; return the status and the decoded answer, whatever they are."""
        sent = {"Authorization": f"Bearer {token or self.token}", **(headers or {})}
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.skep.url + path, data=data, method=method, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        try:
            return status, json.loads(raw) if raw else None
        except ValueError:
            return status, raw

    def ask(self, path):
        """Return what a GET answers."""
        status, body = self.send("GET", path)
        assert status == 200, (path, status, body)
        return body

    def make(self, path, body=None, **more):
        """Return what a POST has made."""
        status, made = self.send("POST", path, body, **more)
        assert status in (201, 202), (path, status, made)
        return made

    def upload(self, archive):
        """Return the id of an upload."""
        return self.make("/api/v1/uploads", data=archive, headers={"Content-Type": "application/gzip"})["id"]

    def agent(self, source, **more):
        """Make an agent; return its id."""
        name = f"a{secrets.token_hex(5)}"
        return self.make("/api/v1/agents", {"name": name, "source": source, **more})["id"]

    def build(self, source, **more):
        """Make an agent and build it; return the build when it is over."""
        build = self.make(f"/api/v1/agents/{self.agent(source, **more)}/build")
        return self._over(f"/api/v1/builds/{build['id']}")

    def begin(self, agent, code="", timeout_s=30, **inputs):
        """Start a run that executes *code*; return its id."""
        wanted = {"agent_id": agent, "inputs": {"code": code, **inputs}, "timeout_s": timeout_s}
        return self.make("/api/v1/runs", wanted)["id"]

    def ended(self, run_id):
        """Return a run when it is over."""
        return self._over(f"/api/v1/runs/{run_id}")

    def run(self, code="", *, agent=None, timeout_s=30, **inputs):
        """Have *code* executed in a sandbox; return the run when it is over."""
        return self.ended(self.begin(agent or self.obedient, code, timeout_s, **inputs))

    def says(self, code, **more):
        """Have *code* executed, which must end well; return what it printed."""
        run = self.run(code, **more)
        assert run["status"] == "succeeded", (run["error"], run["output"])
        return run["output"]["stdout"]

    def until(self, run_id, status):
        """Wait until a run has come to *status*."""
        until_sync(
            lambda: self.ask(f"/api/v1/runs/{run_id}")["status"] == status,
            timeout_s=60,
            what=f"{run_id} to be {status}",
        )

    def until_printed(self, run_id, *, lines):
        """Wait until a run has printed so many lines; return them."""
        found: list[list[str]] = [[]]

        def printed():
            status, run = self.send("GET", f"/api/v1/runs/{run_id}")
            found[0] = run["output"]["stdout"].splitlines() if status == 200 else []
            return len(found[0]) >= lines

        until_sync(printed, timeout_s=60, what=f"{run_id} to print {lines} lines")
        return found[0]

    def _over(self, path):
        found: list[Any] = []

        def over():
            found.append(self.ask(path))
            return found[-1]["status"] in FINAL

        until_sync(over, timeout_s=120, what=f"the end of {path}")
        return found[-1]


@pytest.fixture(scope="module")
def operator():
    """What the operator has set: `SKEP_*` variables; a module may have its own."""
    return {}


@pytest.fixture(scope="module")
def attacker(operator):
    """An attacker on an installation of its own, with an agent that does as it is told."""
    with installation(**operator) as skep:
        made = Attacker(skep)
        built = made.build({"files": {"main.py": OBEDIENT}})
        assert built["status"] == "succeeded", built
        made.obedient = built["agent_id"]
        yield made
        # Whatever was tried, the installation must have survived it.
        assert made.says('print("alive")') == "alive\n"
        assert made.send("GET", "/readyz")[0] == 200


@pytest.fixture(scope="module")
def skep(attacker):
    """The installation that is attacked."""
    return attacker.skep
