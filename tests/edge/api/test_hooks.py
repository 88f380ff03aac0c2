"""Webhooks as each host of repositories sends them: who is let in, what begins a build, what is said else."""

import hashlib
import hmac
import json

import pytest

from skep.product.images.fetch.addresses import Remote
from skep.product.images.fetch.host_keys import parse_key

SECOND, ZERO = "2" * 40, "0" * 40


def gitlike(ref="refs/heads/main", commit=SECOND, **more):
    """Return what GitHub, Gitea and GitLab tell of a push."""
    return {"ref": ref, "after": commit, "repository": {"default_branch": "main"}, **more}


def bitbucket(kind="branch", name="main", commit=SECOND):
    """Return what Bitbucket Cloud tells of a push."""
    new = None if commit is None else {"type": kind, "name": name, "target": {"hash": commit}}
    return {"push": {"changes": [{"new": new, "old": {"type": kind, "name": name, "target": {"hash": ZERO}}}]}}


#: Host -> headers of a push, with {signature} and {secret}; the body.
HOSTS = {
    "github": ({"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256={signature}"}, gitlike()),
    "gitea": (
        {"X-Gitea-Event": "push", "X-GitHub-Event": "push", "X-Gitea-Signature": "{signature}"},
        gitlike(),
    ),
    "forgejo": ({"X-Gitea-Event": "push", "X-Forgejo-Signature": "{signature}"}, gitlike()),
    "gitlab": (
        {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": "{secret}"},
        {"ref": "refs/heads/main", "after": SECOND, "project": {"default_branch": "main"}},
    ),
    "bitbucket": ({"X-Event-Key": "repo:push", "X-Hub-Signature": "sha256={signature}"}, bitbucket()),
    "bitbucket server": (
        {"X-Event-Key": "repo:refs_changed", "X-Hub-Signature": "sha256={signature}"},
        {"changes": [{"ref": {"id": "refs/heads/main"}, "toHash": SECOND}]},
    ),
}


class Hook:
    """A webhook of an agent that was built before, and somebody who knows its secret."""

    def __init__(self, admin, nobody, agent, made):
        self.admin, self.nobody, self.agent, self.made = admin, nobody, agent, made

    async def deliver(self, headers, body, *, secret=None, agent=None):
        """Send what a host would."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        key = secret or self.made["secret"]
        signature = hmac.new(key.encode(), data, hashlib.sha256).hexdigest()
        sent = {name: value.format(signature=signature, secret=key) for name, value in headers.items()}
        return await self.nobody("POST", f"/hooks/{agent or self.agent}", data=data, headers=sent)

    async def pushed(self, body, **more):
        """Send what GitHub would of a push."""
        return await self.deliver(HOSTS["github"][0] | more.pop("headers", {}), body, **more)

    async def builds(self):
        """Return how many builds there are."""
        return len((await self.admin("GET", f"agents/{self.agent}/builds")).json["items"])


@pytest.fixture
def hook_of(admin, nobody):
    """Makes an agent that was built before, and its webhook."""

    async def make(**git):
        source = {"git": {"url": "https://git.example/a.git", **git}}
        agent = (await admin("POST", "agents", json={"name": "a", "source": source})).json["id"]
        build = (await admin("POST", f"agents/{agent}/build")).json["id"]
        assert (await admin("POST", f"builds/{build}/cancel")).json["status"] == "cancelled"
        made = await admin("POST", f"agents/{agent}/webhook")
        assert made.status == 201, made.text
        return Hook(admin, nobody, agent, made.json)

    return make


@pytest.mark.parametrize("host", HOSTS)
async def test_each_host_is_understood(hook_of, host):
    """A push to the agent's branch, proved in its host's way, begins a build; another secret does not."""
    hook = await hook_of(ref="main")
    headers, body = HOSTS[host]

    refused = await hook.deliver(headers, body, secret="another")
    taken = await hook.deliver(headers, body)

    assert (refused.status, refused.json["code"]) == (401, "hook_refused")
    assert (taken.status, taken.json["reason"]) == (202, ""), taken.text
    assert taken.json["build"].startswith("bld_")
    assert await hook.builds() == 2


async def test_nobody_learns_which_agents_there_are(hook_of, admin):
    """An agent that is not there, one without a webhook, a removed one, a wrong proof, no proof: the same answer."""
    hook = await hook_of()
    other = (await admin("POST", "agents", json={"name": "b", "source": {"files": {"main.py": ""}}})).json["id"]
    body = gitlike()
    answers = [
        await hook.pushed(body, secret="another"),
        await hook.pushed(body, agent="agt_01nobody"),
        await hook.pushed(body, agent=other),
        await hook.deliver({"X-GitHub-Event": "push"}, body),
        await hook.deliver({"X-GitHub-Event": "push", "X-Hub-Signature": "sha1={signature}"}, body),
    ]
    await admin("DELETE", f"agents/{hook.agent}")
    answers.append(await hook.pushed(body))

    same = {"status", "code", "detail", "hint", "title"}
    assert {answer.status for answer in answers} == {401}
    assert len({json.dumps({key: answer.json[key] for key in sorted(same)}) for answer in answers}) == 1


async def test_a_ping_is_answered(hook_of):
    """Whoever sets the webhook up sees that it works; nothing is built."""
    hook = await hook_of()
    for host, headers in (("github", {"X-GitHub-Event": "ping"}), ("bitbucket", {"X-Event-Key": "diagnostics:ping"})):
        answer = await hook.deliver(HOSTS[host][0] | headers, {"zen": "x"})
        assert (answer.status, answer.json) == (200, {"build": None, "reason": "pong"})
    assert (await hook.deliver(HOSTS["github"][0] | {"X-GitHub-Event": "issues"}, {})).status == 202
    assert await hook.builds() == 1


@pytest.mark.parametrize(
    ("ref", "pushed", "builds"),
    [
        (None, gitlike(), True),
        (None, gitlike("refs/heads/work"), False),
        (None, gitlike("refs/tags/main"), False),
        ("work", gitlike("refs/heads/work"), True),
        ("work", gitlike("refs/heads/main"), False),
        ("v1", gitlike("refs/tags/v1"), True),
        ("refs/heads/v1", gitlike("refs/tags/v1"), False),
        ("main", gitlike(commit=ZERO), False),
        ("2" * 40, gitlike(), False),
        ("main", gitlike("refs/notes/x"), False),
    ],
)
async def test_only_what_the_agent_is_built_from_counts(hook_of, ref, pushed, builds):
    """Its branch, its tag, the default branch if it names none; not what is removed, and not a commit."""
    hook = await hook_of(**({} if ref is None else {"ref": ref}))

    answer = await hook.pushed(pushed)

    assert answer.status == 202
    assert (answer.json["build"] is not None) is builds, answer.text
    assert bool(answer.json["reason"]) is not builds
    assert await hook.builds() == 1 + builds


async def test_pushes_do_not_pile_up(hook_of):
    """While a build waits there is no other; a delivery or a body that comes again does nothing again."""
    hook = await hook_of()
    first = await hook.pushed(gitlike(), headers={"X-GitHub-Delivery": "one"})
    queued = await hook.pushed(gitlike(commit="3" * 40), headers={"X-GitHub-Delivery": "two"})
    known = await hook.pushed(gitlike(commit="4" * 40), headers={"X-GitHub-Delivery": "two"})
    replayed = await hook.pushed(gitlike(), headers={"X-GitHub-Delivery": "three"})

    assert first.json["build"]
    assert "waits already" in queued.json["reason"]
    assert "taken before" in known.json["reason"]
    assert "taken before" in replayed.json["reason"]
    assert await hook.builds() == 2


async def test_a_commit_is_built_once(hook_of, admin):
    """A build of it was begun before, however it ended: the same news in another delivery begin none."""
    hook = await hook_of()
    build = (await hook.pushed(gitlike())).json["build"]
    await admin("POST", f"builds/{build}/cancel")

    again = await hook.pushed(gitlike(size=1))
    other = await hook.pushed(gitlike(commit="3" * 40))

    assert again.json["build"] is None
    assert "commit" in again.json["reason"]
    assert other.json["build"]
    actions = [entry["action"] for entry in (await admin("GET", "audit")).json["items"]]
    assert actions.count("agent.push_build") == 2
    assert "agent.push" in actions
    assert "agent.webhook" in actions


async def test_where_the_default_branch_is_not_told_the_repository_is_asked(hook_of, stores, db):
    """Bitbucket does not say: a look is put on, once."""
    hook = await hook_of()
    headers = HOSTS["bitbucket"][0]

    answer = await hook.deliver(headers, bitbucket())
    await hook.deliver(headers, bitbucket(commit="3" * 40))

    assert (answer.status, answer.json["build"]) == (202, None)
    assert "asked" in answer.json["reason"]
    counts = await db.read(stores.work.counts)
    assert counts["queued"] == 1
    agent = await db.read(lambda tx: stores.agents.get(tx, hook.agent))
    assert agent.asked_ms is not None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"payload=%7B%7D", b"[" * 100_000])
async def test_what_is_no_news_is_refused(hook_of, body):
    """A body that is signed, and no JSON object: its sender is told what to choose."""
    hook = await hook_of()
    answer = await hook.pushed(body)
    assert (answer.status, answer.json["code"]) == (422, "hook_invalid")


async def test_odd_news_begin_nothing(hook_of):
    """Members of other types than a host would send are as if they were not there."""
    hook = await hook_of(ref="main")
    for body in ({"ref": 1}, {"ref": "refs/heads/main", "after": [1]}, {"push": {"changes": [1, {}]}}, {"ref": None}):
        for headers, _ in HOSTS.values():
            assert (await hook.deliver(headers, body)).status == 202
    assert await hook.builds() == 1


async def test_a_delivery_is_bounded(hook_of):
    """More than 256 KiB is not read, whoever sends it."""
    hook = await hook_of()
    answer = await hook.pushed(gitlike(more="x" * (256 * 1024)))
    assert (answer.status, answer.json["code"]) == (413, "too_large")


async def test_another_secret_makes_the_old_one_useless(hook_of, admin):
    """Renewing is how a secret that leaked is taken back; removing takes the webhook away."""
    hook = await hook_of()
    old = hook.made["secret"]
    hook.made = (await admin("POST", f"agents/{hook.agent}/webhook")).json

    assert hook.made["secret"] != old
    assert (await hook.pushed(gitlike(), secret=old)).status == 401
    assert (await hook.pushed(gitlike())).status == 202
    assert (await admin("DELETE", f"agents/{hook.agent}/webhook")).status == 204
    assert (await hook.pushed(gitlike(commit="3" * 40))).status == 401
    missing = await admin("DELETE", f"agents/{hook.agent}/webhook")
    assert (missing.status, missing.json["code"]) == (404, "webhook_not_found")


async def test_a_webhook_needs_a_repository(admin, caller_with):
    """Files are pushed to by nobody; and only who operates agents makes one."""
    await admin("POST", "agents", json={"name": "files", "source": {"files": {"main.py": ""}}})
    answer = await admin("POST", "agents/files/webhook")
    assert (answer.status, answer.json["code"]) == (422, "webhook_useless")
    invoker = await caller_with("invoke")
    assert (await invoker("POST", "agents/files/webhook")).status == 403
    assert (await invoker("DELETE", "agents/files/webhook")).status == 403


async def test_hosts_are_listed_and_forgotten(admin, services, caller_with):
    """By their fingerprints, by name or by name and port; only an admin takes another key."""
    key = parse_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl")
    project = (await admin("GET", "projects")).json["items"][0]["id"]
    for port in (22, 2222):
        origin = Remote(url=f"ssh://git@git.lan:{port}/a", scheme="ssh", host="git.lan", port=port)
        await services.keyring.learn(project, origin, key)

    listed = (await admin("GET", "hosts")).json["items"]
    assert [(host["host"], host["port"]) for host in listed] == [("git.lan", 22), ("git.lan", 2222)]
    assert listed[0]["fingerprint"] == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    operator = await caller_with("operate")
    assert (await operator("DELETE", "hosts/git.lan")).status == 403
    assert (await admin("DELETE", "hosts/git.lan:22")).json == {"forgotten": 1}
    assert (await admin("DELETE", "hosts/git.lan")).json == {"forgotten": 1}
    again = await admin("DELETE", "hosts/git.lan")
    assert (again.status, again.json["code"]) == (404, "host_not_found")
