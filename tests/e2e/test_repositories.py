"""Private repositories over http, https and ssh: what opens them, what is said when nothing does, what nobody sees."""

import base64
import hashlib
import hmac
import json
import secrets
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from user import User

from skep.testing.certificates import Authority
from skep.testing.git_server import GitServer, serve_git
from skep.testing.installation import Installation, installation
from skep.testing.sshd import SshServer, make_key, serve_ssh
from skep.testing.wait import until_sync

pytestmark = pytest.mark.root

TOKEN = "glpat-" + secrets.token_hex(16)


@dataclass
class Place:
    """An installation, and the three servers that it may fetch from."""

    skep: Installation
    user: User
    http: GitServer
    https: GitServer
    ssh: SshServer
    folder: Path

    @property
    def key(self) -> str:
        """The deploy key that the ssh server lets in."""
        return (self.folder / "deploy_key").read_text()

    def secret(self, name: str, value: str) -> str:
        """Put a secret; return its name."""
        answer = self.user.ask("PUT", f"/secrets/{name}", {"value": value})
        assert answer.status == 200, answer.raw
        return name

    def log_of(self, build) -> str:
        """Return all that a build has said."""
        pieces = self.user.get(f"/builds/{build['id']}/log")["items"]
        return "".join(piece["text"] for piece in pieces)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One installation for all tests here."""
    folder = tmp_path_factory.mktemp("repositories")
    folder.chmod(0o755)
    authority = Authority(folder / "ca")
    public = make_key(folder / "deploy_key")
    with (
        serve_git(folder / "git") as http,
        serve_git(folder / "git", authority.certificate()) as https,
        serve_ssh(folder / "git") as ssh,
    ):
        for server in (http, https):
            server.passwords.add(f"x-access-token:{TOKEN}")
        ssh.let_in(public)
        http.repository("agent").commit({"main.py": "print('from a private repository')"})
        hosts = f"{http.host},{https.host},{ssh.host}"
        bundle = authority.with_trusted()
        with installation(
            SKEP_GIT_HTTP_HOSTS=http.host,
            SKEP_GIT_SSH_HOSTS=ssh.host,
            SKEP_EGRESS_ALLOW_PRIVATE=hosts,
            SKEP_SOURCE_LIMIT_MB="8",
            SSL_CERT_FILE=str(bundle),
        ) as skep:
            user = User(url=skep.url, token=skep.token)
            yield Place(skep=skep, user=user, http=http, https=https, ssh=ssh, folder=folder)


def failed(place, name, source):
    """Return the error of a build that must fail, and all that the build has said."""
    build = place.user.build(name, {"git": source})
    assert build["status"] == "failed", build
    return build["error"], place.log_of(build)


def nowhere(place, value: str, build) -> None:
    """Look for a secret where everybody may look who may look at anything."""
    pair = base64.b64encode(f"x-access-token:{value}".encode())
    lines = [line.encode() for line in value.splitlines() if len(line) > 16 and "-----" not in line]
    forms = [pair, *lines]
    seen = [place.skep.log_file.read_bytes(), place.log_of(build).encode(), place.http.processes, place.https.processes]
    paths = ("/agents", "/builds", f"/builds/{build['id']}", "/audit", "/secrets")
    seen += [place.user.ask("GET", path).raw for path in paths]
    if (place.ssh.folder / "processes").exists():
        seen.append(place.ssh.processes)
    layers = place.skep.settings.keeper_dir / "layers"
    files = [file for file in layers.rglob("*") if file.is_file() and not file.is_symlink()]
    assert any(file.name == "main.py" for file in files)
    assert not list(layers.rglob(".git"))
    seen += [file.read_bytes() for file in files]
    for form in forms:
        assert not [text for text in seen if form in text], form


@pytest.mark.parametrize("way", ["http", "https", "ssh", "scp"])
def test_a_private_repository_is_built(place, way):
    """With a token, or with a deploy key; the commit is recorded, and the secret is nowhere afterwards."""
    token = place.secret("GIT_TOKEN", TOKEN)
    key = place.secret("DEPLOY_KEY", place.key)
    source = {
        "http": {"url": place.http.url("private/agent"), "secret": token},
        "https": {"url": place.https.url("private/agent"), "secret": token},
        "ssh": {"url": place.ssh.url("agent"), "secret": key},
        "scp": {"url": place.ssh.url("agent"), "secret": key, "ref": "main"},
    }[way]

    build = place.user.build(f"private-{way}", {"git": source})

    assert build["status"] == "succeeded", (build, place.log_of(build))
    assert len(build["commit"]) == 40
    assert place.user.get(f"/agents/private-{way}")["source"]["git"]["secret"] == source["secret"]
    assert place.user.run(f"private-{way}")["output"]["stdout"] == "from a private repository\n"
    seen = place.ssh.processes if way in ("ssh", "scp") else getattr(place, way).processes
    assert b"skep-git" in seen  # git's command was looked at while it had the secret
    nowhere(place, TOKEN if way.startswith("http") else place.key, build)


def test_a_wrong_token_is_told_from_a_wrong_address(place):
    """It says that the secret was not let in, and which; what the server repeats of it is not seen."""
    wrong = place.secret("WRONG_TOKEN", "ghp_" + "w" * 36)

    error, log = failed(place, "wrong-token", {"url": place.https.url("private/agent"), "secret": wrong})

    assert (error["code"], "WRONG_TOKEN" in error["message"]) == ("repository_refused", True), error
    assert "w" * 36 not in log + str(error)


def test_no_token_says_how_to_give_one(place):
    """A private repository without a secret: the hint is the option."""
    error, _ = failed(place, "no-token", {"url": place.https.url("private/agent")})

    assert error["code"] == "repository_unreachable"
    assert "--git-secret" in error["hint"]


def test_a_wrong_deploy_key_is_named(place):
    """A key that the server does not know."""
    make_key(place.folder / "foreign_key")
    wrong = place.secret("FOREIGN_KEY", (place.folder / "foreign_key").read_text())

    error, _ = failed(place, "wrong-key", {"url": place.ssh.url("agent"), "secret": wrong})

    assert (error["code"], "FOREIGN_KEY" in error["message"]) == ("repository_refused", True), error


def test_a_key_with_a_passphrase_is_refused_before_anything_is_made(place):
    """Nobody is there to type it: the hint says how to make one without, and no sandbox was made."""
    make_key(place.folder / "locked_key", passphrase="sesame")
    locked = place.secret("LOCKED_KEY", (place.folder / "locked_key").read_text())

    error, log = failed(place, "locked", {"url": place.ssh.url("agent"), "secret": locked})

    assert error["code"] == "deploy_key_passphrase"
    assert "ssh-keygen" in error["hint"]
    assert "Fetching" not in log


def test_a_secret_that_is_not_there_is_refused_at_once(place):
    """No build begins; the field is named."""
    git = {"url": place.https.url("private/agent"), "secret": "NOT_THERE"}
    place.user.post("/agents", {"name": "missing", "source": {"git": git}})

    status, problem = place.user.refused("POST", "/agents/missing/build")

    assert (status, problem["code"]) == (422, "secret_missing")
    assert "source.git.secret" in problem["fields"]
    assert "NOT_THERE" in problem["detail"]


def test_a_redirect_leads_the_token_nowhere(place):
    """A server that sends git elsewhere: the other one is not reached, and never sees the token."""
    token = place.secret("GIT_TOKEN", TOKEN)
    place.https.elsewhere = place.http.url("private")
    shown = len(place.http.shown)

    error, _ = failed(place, "moved", {"url": place.https.url("moved/agent"), "secret": token})

    assert error["code"] == "repository_unreachable", error
    assert len(place.http.shown) == shown


def test_a_server_with_another_key_is_not_believed(place):
    """The first key is kept; another one fails with both fingerprints, until somebody forgets the first."""
    key = place.secret("DEPLOY_KEY", place.key)
    source = {"url": place.ssh.url("agent"), "secret": key}
    assert place.user.build("pinned", {"git": source})["status"] == "succeeded"
    before = place.ssh.fingerprint
    assert before in {host["fingerprint"] for host in place.user.get("/hosts")["items"]}
    assert before in place.skep.cli("hosts").stdout
    assert before in place.skep.cli("hosts", "list").stdout

    place.ssh.change_key()
    error, _ = failed(place, "pinned-2", source)

    assert error["code"] == "host_key_changed", error
    assert before in error["message"]
    assert place.ssh.fingerprint in error["message"]
    assert f"skep hosts forget {place.ssh.host}" in error["hint"]
    place.skep.cli("hosts", "forget", place.ssh.host, "--yes")
    build = place.user.build("pinned-3", {"git": source})
    assert build["status"] == "succeeded", build
    assert place.ssh.fingerprint in place.log_of(build)
    actions = [entry["action"] for entry in place.user.get("/audit?limit=200")["items"]]
    assert {"host_key.learn", "host_key.forget"} <= set(actions)


def signed(place, agent_id: str, secret: str, body: bytes, **headers: str):
    """Deliver news as GitHub does."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature}"}
    sent = given | {name.replace("_", "-"): value for name, value in headers.items()}
    return post(f"{place.user.url}/hooks/{agent_id}", body, sent)


def post(url: str, body: bytes, headers):
    """Send a request without a token; return its status and what was answered."""
    request = urllib.request.Request(url, data=body, method="POST", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def push(repository, commit: str, ref: str = "refs/heads/main", **more) -> bytes:
    """Return what GitHub tells of a push."""
    return json.dumps({"ref": ref, "after": commit, "repository": {"default_branch": "main"}, **more}).encode()


def test_a_push_builds_the_agent_again(place):
    """A webhook begins one build of a new commit: signed, once, for the agent's own branch, and audited."""
    repository = place.http.repository("pushed")
    first = repository.commit({"main.py": "print('before')"})
    source = {"url": place.http.url("pushed")}
    assert place.user.build("pushed", {"git": source})["commit"] == first
    agent = place.user.get("/agents/pushed")["id"]
    hook = place.user.post("/agents/pushed/webhook")
    assert hook["url"] == f"{place.user.url}/hooks/{agent}"
    second = repository.commit({"main.py": "print('after')"})
    news = push(repository, second)

    assert signed(place, agent, hook["secret"], b"{}", X_GitHub_Event="ping")[0] == 200
    assert signed(place, agent, "another", news)[0] == 401
    assert signed(place, "agt_nobody", hook["secret"], news)[0] == 401
    other = signed(place, agent, hook["secret"], push(repository, second, "refs/heads/other"))
    assert (other[0], other[1]["build"]) == (202, None)
    status, answer = signed(place, agent, hook["secret"], news, X_GitHub_Delivery="d-1")

    assert status == 202, answer
    build = place.user.built(answer["build"])
    assert (build["status"], build["commit"]) == ("succeeded", second), build
    assert place.user.run("pushed")["output"]["stdout"] == "after\n"
    again = signed(place, agent, hook["secret"], news, X_GitHub_Delivery="d-2")
    assert (again[0], again[1]["build"]) == (202, None)
    status, answer = signed(place, agent, hook["secret"], push(repository, second, size=2), X_GitHub_Delivery="d-3")
    assert (status, answer["build"]) == (202, None)
    assert "commit" in answer["reason"]
    assert "agent.push_build" in {entry["action"] for entry in place.user.get("/audit?limit=200")["items"]}
    assert place.user.ask("DELETE", "/agents/pushed/webhook").status == 204
    assert signed(place, agent, hook["secret"], news)[0] == 401


def test_a_push_is_not_lost_while_the_repository_is_away(place):
    """Bitbucket does not tell the default branch: the repository is asked, again if need be, and nobody polls it."""
    token = place.secret("GIT_TOKEN", TOKEN)
    repository = place.http.repository("asked")
    repository.commit({"main.py": "print('before')"})
    source = {"url": place.https.url("private/asked"), "secret": token}
    assert place.user.build("asked", {"git": source})["status"] == "succeeded"
    hook = place.user.post("/agents/asked/webhook")
    second = repository.commit({"main.py": "print('after')"})
    new = {"type": "branch", "name": "main", "target": {"hash": second}}
    body = json.dumps({"push": {"changes": [{"new": new}]}}).encode()
    signature = hmac.new(hook["secret"].encode(), body, hashlib.sha256).hexdigest()

    place.secret("GIT_TOKEN", "revoked-" + "r" * 20)
    status, answer = post(hook["url"], body, {"X-Event-Key": "repo:push", "X-Hub-Signature": f"sha256={signature}"})
    assert (status, answer["build"]) == (202, None)
    until_sync(lambda: (looked(place, "asked") or {}).get("error"), timeout_s=60, what="the look that is refused")
    place.secret("GIT_TOKEN", TOKEN)

    until_sync(lambda: looked(place, "asked")["commit"] == second, timeout_s=60, what="the look that finds it")
    newest, _ = place.user.get("/agents/asked/builds")["items"]
    assert place.user.built(newest["id"])["commit"] == second


def looked(place, name: str):
    """Return what is remembered of an agent's repository."""
    return place.user.get(f"/agents/{name}")["looked"]


def test_a_look_finds_what_was_pushed(place):
    """Polling begins one build of a new commit, through the same door with the same secret; trouble is shown."""
    token = place.secret("GIT_TOKEN", TOKEN)
    repository = place.http.repository("polled")
    first = repository.commit({"main.py": "print('before')"})
    source = {"url": place.https.url("private/polled"), "secret": token}
    assert place.user.build("polled", {"git": source}, poll_s=3600)["commit"] == first
    until_sync(lambda: looked(place, "polled"), timeout_s=60, what="the first look")
    second = repository.commit({"main.py": "print('after')"})

    # Another rhythm is a look at once.
    assert place.user.ask("PATCH", "/agents/polled", {"poll_s": 1800}).status == 200
    until_sync(lambda: looked(place, "polled")["commit"] == second, timeout_s=60, what="the look that finds it")
    builds = place.user.get("/agents/polled/builds")["items"]
    assert len(builds) == 2
    assert place.user.built(builds[0]["id"])["commit"] == second

    place.secret("GIT_TOKEN", "revoked-" + "r" * 20)
    assert place.user.ask("PATCH", "/agents/polled", {"poll_s": 1900}).status == 200
    until_sync(lambda: looked(place, "polled")["error"], timeout_s=60, what="the look that is refused")
    seen = looked(place, "polled")
    assert (seen["failures"], seen["error"]["code"], seen["commit"]) == (1, "repository_refused", second)
    place.secret("GIT_TOKEN", TOKEN)
    assert place.user.ask("PATCH", "/agents/polled", {"poll_s": None}).status == 200
    assert place.user.get("/agents/polled")["poll"] is None


def test_what_cannot_be_polled_is_refused(place):
    """A commit never changes, and files are no repository."""
    for source in ({"git": {"url": place.http.url("agent"), "ref": "a" * 40}}, {"files": {"main.py": ""}}):
        status, problem = place.user.refused("POST", "/agents", {"name": "still", "source": source, "poll_s": 60})
        assert (status, problem["code"]) == (422, "poll_invalid")
        assert "poll_s" in problem["fields"]


def test_the_command_line_deploys_a_private_repository(place):
    """`skep deploy git@host:path --git-secret NAME`; told again without it, the agent keeps it."""
    place.secret("GIT_TOKEN", TOKEN)
    url = place.https.url("private/agent")

    place.skep.cli("deploy", url, "--name", "by-hand", "--git-secret", "GIT_TOKEN")
    place.skep.cli("deploy", url, "--name", "by-hand")

    assert place.user.get("/agents/by-hand")["source"]["git"]["secret"] == "GIT_TOKEN"


def test_the_operators_known_hosts_are_believed(place, tmp_path_factory):
    """A server in the operator's file is not learned; when it shows another key, the hint is the file."""
    folder = tmp_path_factory.mktemp("known")
    known = folder / "known_hosts"
    known.write_text(f"# the operator's\n{place.ssh.known_hosts}")
    settings = {"SKEP_GIT_SSH_HOSTS": place.ssh.host, "SKEP_EGRESS_ALLOW_PRIVATE": place.ssh.host}
    with installation(**settings, SKEP_GIT_KNOWN_HOSTS=str(known)) as skep:
        user = User(url=skep.url, token=skep.token)
        other = Place(skep=skep, user=user, http=place.http, https=place.https, ssh=place.ssh, folder=folder)
        key = other.secret("DEPLOY_KEY", place.key)
        source = {"url": place.ssh.url("agent"), "secret": key}

        build = user.build("known", {"git": source})
        place.ssh.change_key()
        error, _ = failed(other, "changed", source)

        assert build["status"] == "succeeded", build
        assert user.get("/hosts")["items"] == []
        assert error["code"] == "host_key_changed"
        assert "SKEP_GIT_KNOWN_HOSTS" in error["hint"]
