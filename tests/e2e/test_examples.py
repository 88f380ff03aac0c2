"""Each example is deployed from a git server with its real packages, and says inside its sandbox what they are."""

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from user import User

from skep.testing.certificates import Authority
from skep.testing.git_server import serve_git
from skep.testing.installation import installation
from skep.testing.sshd import make_key, serve_ssh
from skep.testing.wait import until_sync

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"
NO_PROVIDER = "LLM call: no provider is reachable ("
#: A large environment is fetched, unpacked and sealed meanwhile.
PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What is deployed, and what it must say."""

    name: str
    #: As the build names it.
    framework: str
    inputs: dict[str, Any]
    #: Its package, whose version in the lock is printed from inside; "" is the standard library.
    package: str = ""
    #: Lines, whole or the beginning of one, in this order.
    prints: tuple[str, ...]
    result: dict[str, Any]
    #: Person's answer, where it asks.
    answer: str = ""

    @property
    def version(self) -> str:
        """The version of its package that its lock names."""
        folder = EXAMPLES / self.name
        if (folder / "uv.lock").exists():
            packages = tomllib.loads((folder / "uv.lock").read_text())["package"]
            return next(package["version"] for package in packages if package["name"] == self.package)
        locked = json.loads((folder / "package-lock.json").read_text())
        return locked["packages"][f"node_modules/{self.package}"]["version"]

    @property
    def expected(self) -> list[str]:
        """What is printed, with the version put in."""
        return [line.replace("VERSION", self.version) if "VERSION" in line else line for line in self.prints]


QUICK = (
    Example(
        name="hello",
        framework="python",
        inputs={"topic": "bees"},
        prints=("Hello from Python 3.", "1st letter: b"),
        result={"topic": "bees", "letters": 4},
    ),
    Example(
        name="python",
        framework="python",
        inputs={"text": "*Bees*"},
        package="markdown-it-py",
        prints=("markdown-it-py VERSION on Python 3.", "<p><em>Bees</em></p>"),
        result={"characters": 21},
    ),
    Example(
        name="node",
        framework="node",
        inputs={"text": "*Bees*"},
        package="marked",
        prints=("marked VERSION on Node v", "<p><em>Bees</em></p>"),
        result={"characters": 21},
    ),
    Example(
        name="typescript",
        framework="node",
        inputs={"city": "Bern", "celsius": 20},
        package="valibot",
        prints=("valibot VERSION on Node v", "Bern: 68 °F"),
        result={"fahrenheit": 68},
    ),
    Example(
        name="asking",
        framework="python",
        inputs={"folder": "/old"},
        prints=("Python 3.", "answered: yes"),
        result={"folder": "/old", "deleted": True},
        answer="yes",
    ),
)
HEAVY = (
    Example(
        name="crewai",
        framework="crewai",
        inputs={"topic": "bees"},
        package="crewai",
        prints=("crewai VERSION on Python 3.", "tasks: research_task, reporting_task", NO_PROVIDER),
        result={"topic": "bees", "report": None},
    ),
    Example(
        name="langgraph",
        framework="langgraph",
        inputs={"question": "How do bees dance?"},
        package="langgraph",
        prints=("langgraph VERSION, 4 words: How do bees dance?", NO_PROVIDER),
        result={"question": "How do bees dance?", "words": 4, "answer": None},
    ),
    Example(
        name="openai-agents",
        framework="openai-agents",
        inputs={"question": "How many letters has hexagon?"},
        package="openai-agents",
        prints=("openai-agents VERSION, agent helper: How many letters has hexagon?", NO_PROVIDER),
        result={"question": "How many letters has hexagon?", "answer": None},
    ),
)
EVERY = [
    *(pytest.param(example, id=example.name) for example in QUICK),
    *(pytest.param(example, id=example.name, marks=pytest.mark.slow) for example in HEAVY),
]


@dataclass(frozen=True, slots=True)
class Remote:
    """The examples, committed, on a server."""

    commit: str
    #: Transport -> what a source says of it.
    sources: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


@pytest.fixture(scope="module")
def https(git, authority):
    """The same repositories over TLS."""
    with serve_git(git.root, authority.certificate()) as server:
        yield server


@pytest.fixture(scope="module")
def ssh(git):
    """The same repositories by ssh, for those whose key is known."""
    with serve_ssh(git.root) as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Who signs certificates here."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def skep(git, https, ssh, authority):
    """One installation for all examples; it believes the authority as well as those of the machine."""
    with installation(
        SKEP_GIT_HTTP_HOSTS=git.host,
        SKEP_GIT_SSH_HOSTS=ssh.host,
        SKEP_EGRESS_ALLOW_PRIVATE=f"{git.host},{https.host},{ssh.host}",
        SKEP_CA_FILE=str(authority.with_trusted()),
    ) as made:
        yield made


@pytest.fixture(scope="module")
def remote(git, https, ssh, skep, tmp_path_factory):
    """One repository with a folder for each example, on three servers; ssh wants a deploy key, which is a secret."""
    key = tmp_path_factory.mktemp("key") / "deploy"
    ssh.let_in(make_key(key))
    skep.call("PUT", "/api/v1/secrets/DEPLOY_KEY", {"value": key.read_text()})
    files = {
        str(path.relative_to(EXAMPLES)): path.read_bytes()
        for path in EXAMPLES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    commit = git.repository("examples").commit(files)
    return Remote(
        commit,
        {
            "http": {"url": git.url("examples")},
            "https": {"url": https.url("examples")},
            "ssh": {"url": ssh.url("examples"), "secret": "DEPLOY_KEY"},
        },
    )


@pytest.mark.parametrize("example", EVERY)
def test_an_example_is_deployed_and_runs(skep, remote, example):
    """Over each transport it is built with what its lock says; it runs, tells its package's version, and ends well."""
    user = User(url=skep.url, token=skep.token)
    for transport, source in remote.sources.items():
        build = deployed(user, f"{example.name}-{transport}", {"git": {**source, "path": example.name}})
        assert (build["status"], build["commit"]) == ("succeeded", remote.commit), (transport, build["error"])
        assert build["recognised"]["framework"] == example.framework

        run = user.start(f"{example.name}-{transport}", example.inputs)
        if example.answer:
            answer_when_asked(user, run, example.answer)
        ended = user.ended(run)

        assert (ended["status"], ended["exit_code"]) == ("succeeded", 0), (ended["error"], ended["output"])
        assert "Traceback" not in ended["output"]["stdout"] + ended["output"]["stderr"]
        assert_printed(ended["output"]["stdout"], example.expected)
        assert ended["result"] == example.result


@pytest.mark.slow
def test_a_crew_that_crashes_is_a_run_that_fails(skep, git):
    """CrewAI's own command ends with 0 when the crew does not: the exit code is the crew's."""
    user = User(url=skep.url, token=skep.token)
    folder = EXAMPLES / "crewai"
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.*") if path.is_file()}
    files["src/research_crew/main.py"] = "def run():\n    raise SystemExit('the hive is empty')\n"
    git.repository("crashing").commit(files)
    assert deployed(user, "crashing-crew", {"git": {"url": git.url("crashing")}})["status"] == "succeeded"

    run = user.run("crashing-crew", {"topic": "bees"})

    assert (run["status"], run["exit_code"]) == ("failed", 1)
    assert "the hive is empty" in run["output"]["stderr"]


def test_inputs_that_do_not_fit_are_told_by_the_example(skep, remote):
    """The example in TypeScript checks its inputs, says in one line what is wrong, and ends with 2."""
    user = User(url=skep.url, token=skep.token)
    source = {"git": {**remote.sources["http"], "path": "typescript"}}
    assert deployed(user, "wrong-inputs", source)["status"] == "succeeded"

    run = user.run("wrong-inputs", {"city": 7})

    assert (run["status"], run["exit_code"]) == ("failed", 2)
    assert "The inputs are wrong: city: " in run["output"]["stdout"]


def deployed(user, name, source):
    """Make an agent and build it; return the build when it is over."""
    user.post("/agents", {"name": name, "source": source})
    return user.built(user.post(f"/agents/{name}/build")["id"], PATIENCE_S)


def answer_when_asked(user, run, answer):
    """Wait until a run asks, and answer."""
    until_sync(lambda: user.get(f"/runs/{run}")["status"] == "waiting", timeout_s=60, what="the run to ask")
    user.post(f"/runs/{run}/answer", {"answer": answer})


def assert_printed(text, expected):
    """Hold that *text* has lines that begin with the *expected* ones, in this order."""
    lines = iter(text.splitlines())
    for begin in expected:
        assert any(line.startswith(begin) for line in lines), (begin, text)
