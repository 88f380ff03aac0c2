"""Rules 6, 9 and 14: a webhook is called by anybody; only its secret, in one of the hosts' own ways, means anything."""

import hashlib
import hmac
import json
import socket

import pytest

pytestmark = pytest.mark.root

PUSH = {"ref": "refs/heads/main", "after": "2" * 40, "repository": {"default_branch": "main"}}
BODY = json.dumps(PUSH).encode()


def signed(secret, body=BODY, kind="sha256"):
    """Return the signature of a body."""
    return hmac.new(secret.encode(), body, kind).hexdigest()


@pytest.fixture(scope="module")
def hook(attacker):
    """An agent's webhook, in a project of its own."""
    agent = attacker.agent({"git": {"url": "https://git.example/a.git", "ref": "main"}})
    return attacker.make(f"/api/v1/agents/{agent}/webhook")


@pytest.fixture(scope="module")
def deliver(attacker):
    """Send a delivery without any token."""

    def send(path, headers, body=BODY):
        kind = {"Content-Type": "application/json", "Authorization": ""}
        return attacker.send("POST", path, data=body, headers={**kind, **headers})

    return send


def test_only_the_secret_proves_anything(attacker, hook, deliver):
    """Nothing empty, old, half, of another body, agent, algorithm, place or spelling is taken for a proof."""
    secret = hook["secret"]
    good, event = signed(secret), {"X-GitHub-Event": "push"}
    other = attacker.agent({"git": {"url": "https://git.example/b.git"}})
    stranger = attacker.make(f"/api/v1/agents/{other}/webhook")["secret"]
    proofs = [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": good},
        {"X-Hub-Signature-256": f"SHA256={good}"},
        {"X-Hub-Signature-256": f"sha256={good[:-1]}"},
        {"X-Hub-Signature-256": f"sha256={good} "[:-2]},
        {"X-Hub-Signature-256": f"sha256={good},sha256={good}"},
        {"X-Hub-Signature-256": f"sha256={signed(secret, b'')}"},
        {"X-Hub-Signature-256": f"sha256={signed('')}"},
        {"X-Hub-Signature-256": f"sha256={signed(stranger)}"},
        {"X-Hub-Signature-256": f"sha256={secret}"},
        {"X-Hub-Signature": f"sha1={signed(secret, kind='sha1')}"},
        {"X-Hub-Signature-256": "sha256=" + "\xe9" * 64},
        {"X-Hub-Signature-256": "sha256=" + "0" * 60_000},
        {"X-Gitea-Signature": ""},
        {"X-Gitea-Signature": secret},
        {"X-Gitlab-Token": ""},
        {"X-Gitlab-Token": good},
        {"X-Gitlab-Token": stranger},
        {"X-Gitlab-Token": secret[:-1]},
        {"X-Gitlab-Token": secret + "\xe9"},
        {"X-Hub-Signature-256": "sha256=0", "X-Gitlab-Token": stranger},
        {"Authorization": f"Bearer {secret}"},
    ]
    refused = [deliver(hook["path"], {**event, **proof})[0] for proof in proofs]
    assert refused == [401] * len(proofs)
    unknown = (f"/hooks/{other[:-1]}", "/hooks/agt_", "/hooks/%00", "/hooks/..%2f", f"/hooks/{'x' * 5000}")
    assert {deliver(path, {**event, "X-Hub-Signature-256": f"sha256={good}"})[0] for path in unknown} <= {401, 404}
    # Each of two webhooks takes its own only.
    assert deliver(f"/hooks/{other}", {**event, "X-Hub-Signature-256": f"sha256={good}"})[0] == 401
    assert deliver(hook["path"], {**event, "X-Hub-Signature-256": f"sha256={good}"})[0] == 202


def test_what_was_overheard_is_of_no_use(hook, deliver, attacker):
    """A signed delivery that comes again begins nothing, whatever host's it is said to be, and by whatever name."""
    body = json.dumps(PUSH | {"after": "3" * 40}).encode()
    proof = {"X-Hub-Signature-256": f"sha256={signed(hook['secret'], body)}"}
    assert deliver(hook["path"], {**proof, "X-GitHub-Event": "push"}, body)[0] == 202
    again = [
        {"X-GitHub-Event": "push", "X-GitHub-Delivery": "another"},
        {"X-Gitlab-Event": "Push Hook"},
        {"X-Gitlab-Event": "Tag Push Hook", "X-Gitlab-Event-UUID": "another"},
        {"X-Gitea-Event": "push", "X-Gitlab-Event": "x"},
    ]
    for headers in again:
        status, said = deliver(hook["path"], {**proof, **headers}, body)
        assert (status, said["build"], said["reason"]) == (202, None, "this delivery was taken before"), headers


ODD = {
    "deep": b"[" * 120_000 + b"]" * 120_000,
    "deep object": b'{"ref":' * 30_000 + b"1" + b"}" * 30_000,
    "huge number": b'{"ref": ' + b"9" * 200_000 + b"}",
    "not UTF-8": b"\xff\xfe{}",
    "a form": b"payload=%7B%7D",
    "no object": b"[]",
    "other types": b'{"ref": {"a": 1}, "after": [], "repository": 7, "push": {"changes": {"a": 1}}}',
    "surrogates": b'{"ref": "refs/heads/\\ud800main", "after": "' + b"2" * 40 + b'"}',
    "a NUL": b'{"ref": "refs/heads/ma\\u0000in", "after": "' + b"2" * 40 + b'"}',
    "twice": b'{"ref": "refs/heads/other", "ref": "refs/heads/\\u001b[31m", "after": "' + b"4" * 40 + b'"}',
    "nothing": b"",
}


@pytest.mark.parametrize("event", ["push", "repo:push", "repo:refs_changed", "x" * 5000])
@pytest.mark.parametrize("odd", ODD)
def test_odd_bodies_begin_nothing(hook, deliver, odd, event):
    """What knows the secret may still be odd: it is refused in words, or is no news."""
    body = ODD[odd]
    proof = {"X-Hub-Signature-256": f"sha256={signed(hook['secret'], body)}", "X-Event-Key": event}
    status, said = deliver(hook["path"], proof, body)

    assert status in (202, 422), said
    assert said.get("build") is None
    assert "Traceback" not in json.dumps(said)


def test_bodies_that_never_come_hold_nothing_for_long(attacker, hook, deliver):
    """Only so many are heard at once, each for seconds; who delivers meanwhile is heard, in place of the slowest."""
    host, _, port = attacker.skep.url.removeprefix("http://").rpartition(":")
    head = f"POST {hook['path']} HTTP/1.1\r\nHost: skep\r\nContent-Length: 200000\r\n\r\n".encode()
    held = []
    try:
        for _ in range(300):
            connection = socket.create_connection((host, int(port)), 30)
            connection.sendall(head + b"x" * 1000)
            held.append(connection)
        good = {"X-GitHub-Event": "ping", "X-Hub-Signature-256": f"sha256={signed(hook['secret'])}"}
        assert [deliver(hook["path"], good)[0] for _ in range(20)] == [200] * 20
        answers = [connection.recv(100).split(b" ")[1] for connection in held]
    finally:
        for connection in held:
            connection.close()

    assert set(answers) == {b"422", b"429"}
    assert answers.count(b"422") <= 128


def test_pages_of_a_webhook_say_nothing_of_who_is_there(deliver, hook):
    """Methods, arguments and types are answered the same for an agent that is there and for one that is not."""
    digest = hashlib.sha256(b"").hexdigest()
    for headers, body in (({}, b""), ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=b")):
        answers = [
            deliver(path, headers, body) for path in (hook["path"], hook["path"] + "?x=1", f"/hooks/agt_{digest[:26]}")
        ]
        codes = [(status, said["code"], said["detail"]) for status, said in answers]
        assert codes[0] == codes[2] == (401, "hook_refused", codes[0][2])
        assert codes[1][0] == 422
