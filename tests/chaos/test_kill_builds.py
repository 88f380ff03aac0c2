"""SIGKILL at each stage of a build, and where one is about to begin: it is made all the same, and nothing is left over.

The stage is not guessed by time: the git server or the package index holds back an answer, or the keeper's half of a
layer is on the disk.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from observer import Observer
from user import User

from skep.testing.git_server import GitServer, serve_git
from skep.testing.installation import Installation, installation
from skep.testing.package_index import PackageIndex, serve_index
from skep.testing.packages import sdist, wheel
from skep.testing.wait import until_sync

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

#: Large enough that sealing them takes a moment, and not to be guessed at by a compressor.
MANY = {f"{{module}}/part{number}.txt": f"{number:08}" * 2_000 for number in range(2_000)}
MAIN = "import plain_{0}, slow_{0}\nprint(plain_{0}.VERSION, slow_{0}.ANSWER)\n"
#: Its metadata come at once; while it is compiled it gets a file from the index, which may be held back.
BACKEND = """
import json, os, urllib.parse, urllib.request, zipfile
NAME, GATE = {name!r}, os.environ["UV_DEFAULT_INDEX"].rstrip("/") + "/{gate}/"
ABOUT = {{
    "METADATA": f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: 1.0\\n",
    "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "RECORD": "",
}}

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    os.mkdir(f"{{folder}}/{{NAME}}-1.0.dist-info")
    for file, text in ABOUT.items():
        open(f"{{folder}}/{{NAME}}-1.0.dist-info/{{file}}", "w").write(text)
    return f"{{NAME}}-1.0.dist-info"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    page = json.load(urllib.request.urlopen(GATE))
    urllib.request.urlopen(urllib.parse.urljoin(GATE, page["files"][0]["url"])).read()
    with zipfile.ZipFile(f"{{folder}}/{{NAME}}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{{NAME}}.py", "ANSWER = 42\\n")
        for file, text in ABOUT.items():
            wheel.writestr(f"{{NAME}}-1.0.dist-info/{{file}}", text)
    return f"{{NAME}}-1.0-py3-none-any.whl"
"""
SYSTEM = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An installation, what it builds from, and the one who looks at it from outside."""

    skep: Installation
    git: GitServer
    index: PackageIndex
    observer: Observer

    def source(self, name: str) -> str:
        """Commit an agent with a wheel and a source distribution of its own; return the repository's path."""
        module = name.replace("-", "_")
        many = {path.format(module=f"many_{module}"): text for path, text in MANY.items()}
        plain = wheel(f"plain-{name}", "1.0", {f"plain_{module}.py": "VERSION = 1\n", **many})
        gate = wheel(f"gate-{name}", "1.0")
        backend = BACKEND.format(name=f"slow_{module}", gate=gate.name)
        slow = sdist(f"slow-{name}", "1.0", {"pyproject.toml": SYSTEM, "backend.py": backend})
        self.index.python += [plain, gate, slow]
        requirements = f"plain-{name}==1.0\nslow-{name}==1.0\n"
        self.git.repository(name).commit({"main.py": MAIN.format(module), "requirements.txt": requirements})
        return name

    @property
    def user(self) -> User:
        """The installation's admin."""
        return User(url=self.skep.url, token=self.skep.token)

    def strike(self, *victims: str) -> None:
        """Kill processes, give out what was held back, and wait until they live again."""
        for victim in victims:
            assert self.skep.kill(victim)
        self.git.release()
        self.index.release()
        until_sync(lambda: all(self.skep.pid(victim) for victim in victims), timeout_s=60, what="the killed to live")
        self.skep.wait_ready()

    def assert_clean(self) -> None:
        """Wait until nothing of a sandbox is left; every layer on the disk then has its row."""
        instance = self.skep.settings.instance
        until_sync(lambda: not self.observer.left_over(instance), timeout_s=60, what="the machine to be clean")
        on_disk = {path.name for path in (self.skep.settings.keeper_dir / "layers").iterdir()}
        assert {row["id"] for row in self.observer.rows("select id from layers")} == on_disk

    def half_a_layer(self) -> bool:
        """Tell whether the keeper is about to seal."""
        return any((self.observer.data_dir / "keeper" / "layers").glob("*[!0-9a-f]*"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """All of it."""
    with serve_git(tmp_path_factory.mktemp("git")) as git, serve_index() as index:
        hosts = f"{git.host},{index.host}"
        with installation(
            SKEP_GIT_HTTP_HOSTS=git.host, SKEP_INDEX_URL=index.simple, SKEP_EGRESS_ALLOW_PRIVATE=hosts
        ) as skep:
            observer = Observer(skep.settings.data_dir, skep.settings.instance_run_dir)
            yield Place(skep=skep, git=git, index=index, observer=observer)


def held(place: Place, stage: str, name: str) -> Callable[[], object]:
    """Let a build stop at a stage; return what tells that it has come there."""
    if stage == "fetching":
        place.git.hold()
        return lambda: [asked for asked in place.git.requests if f"/hold/{name}/" in asked]
    if stage == "sealing":
        return place.half_a_layer
    module = name.replace("-", "_")
    file = {
        "locking": f"/files/slow_{module}-1.0.tar.gz",
        "installing": f"/files/plain_{module}-1.0-py3-none-any.whl",
        "compiling": f"/files/gate_{module}-1.0-py3-none-any.whl",
    }[stage]
    place.index.hold(file)
    return lambda: place.index.count(file)


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(("server",), id="server"),
        pytest.param(("keeper",), id="keeper"),
        pytest.param(("server", "keeper"), id="both", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("stage", ["fetching", "locking", "installing", "compiling", "sealing"])
def test_a_build_that_is_hit_is_made_all_the_same(place: Place, stage: str, victims: tuple[str, ...]) -> None:
    """There the server, the keeper or both die: the next attempt succeeds, and the agent says what it should."""
    user, name = place.user, place.source("-".join((stage, *victims)))
    reached = held(place, stage, name)
    url = place.git.url(f"hold/{name}" if stage == "fetching" else name)
    user.post("/agents", {"name": name, "source": {"git": {"url": url}}})
    build = user.post(f"/agents/{name}/build")

    until_sync(reached, timeout_s=60, what=f"the build to come to {stage}")
    place.strike(*victims)

    ended = user.built(build["id"])
    assert ended["status"] == "succeeded", ended["error"]
    assert ended["attempt"] in ((2,) if "server" in victims else (1, 2))
    assert user.run(name)["output"]["stdout"] == "1 42\n"
    place.assert_clean()


def test_a_look_at_a_repository_that_is_hit_is_made_again(place: Place) -> None:
    """The server dies while it asks a polled repository: what was pushed is built, once."""
    user, repository = place.user, place.git.repository("polled")
    first = repository.commit({"main.py": "print('first')\n"})
    place.git.release()
    assert user.build("polled", {"git": {"url": place.git.url("hold/polled")}})["commit"] == first
    second = repository.commit({"main.py": "print('second')\n"})
    place.git.hold()
    before = len(place.git.requests)
    assert user.ask("PATCH", "/agents/polled", {"poll_s": 3600}).status == 200

    until_sync(lambda: place.git.requests[before:], timeout_s=60, what="the look")
    place.strike("server")

    until_sync(lambda: len(user.get("/agents/polled/builds")["items"]) > 1, timeout_s=60, what="the build")
    newest, _ = user.get("/agents/polled/builds")["items"]
    assert user.built(newest["id"])["commit"] == second
    until_sync(lambda: user.get("/agents/polled")["looked"]["commit"] == second, timeout_s=60, what="the look's end")
    assert user.run("polled")["output"]["stdout"] == "second\n"
    assert len(user.get("/agents/polled/builds")["items"]) == 2
    place.assert_clean()


def test_a_push_that_was_acknowledged_is_built(place: Place) -> None:
    """The server dies right after it has answered a webhook: the build is made, and the delivery is not taken twice."""
    user, repository = place.user, place.git.repository("pushed")
    repository.commit({"main.py": "print('first')\n"})
    place.git.release()
    assert user.build("pushed", {"git": {"url": place.git.url("pushed")}})["status"] == "succeeded"
    hook = user.post("/agents/pushed/webhook")
    second = repository.commit({"main.py": "print('second')\n"})
    push = {"ref": "refs/heads/main", "after": second, "repository": {"default_branch": "main"}}
    body = json.dumps(push).encode()
    proof = "sha256=" + hmac.new(hook["secret"].encode(), body, hashlib.sha256).hexdigest()
    host = User(url=user.url, token="", below="")
    signed = {"X_GitHub_Event": "push", "X_GitHub_Delivery": "one", "X_Hub_Signature_256": proof}

    accepted = host.post(hook["path"], body, **signed)
    place.strike("server")
    again = host.post(hook["path"], body, **signed)

    assert user.built(accepted["build"])["commit"] == second
    assert again["build"] is None, again
    assert user.run("pushed")["output"]["stdout"] == "second\n"
    assert len(user.get("/agents/pushed/builds")["items"]) == 2
    place.assert_clean()
