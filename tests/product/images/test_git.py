"""git's commands and environment, exactly: what is never allowed, and where a credential is answered."""

import pytest

from skep.product.images.fetch import git
from skep.product.images.fetch.addresses import leave, remote
from skep.product.images.fetch.credentials import CredentialKind
from skep.testing.git_server import Repository

ORIGIN = remote("https://git.example:8443/a.git", leave((), ()))
SSH = remote("ssh://git@git.lan:2222/a.git", leave((), ("git.lan",)))


def test_the_commands_of_a_fetch() -> None:
    """No hooks, no other transport, no credentials, no submodules, no configuration of a system or user."""
    init, add = git.prepare(ORIGIN)
    head = init[: init.index("init")]
    assert head[:2] == ("/usr/bin/git", "--git-dir=/tmp/skep-git")
    for setting in (
        "core.hooksPath=/dev/null",
        "protocol.allow=never",
        "protocol.https.allow=always",
        "submodule.recurse=false",
        "filter.lfs.smudge=",
    ):
        assert head[head.index(setting) - 1] == "-c"
    assert init[len(head) :] == ("init", "--quiet", "--template=", "--initial-branch=skep")
    assert add[len(head) :] == ("remote", "add", "origin", ORIGIN.url)
    assert git.fetch_shallow(ORIGIN, "main")[len(head) :] == (
        "fetch",
        "--depth=1",
        "--no-tags",
        "--no-recurse-submodules",
        "--no-write-commit-graph",
        "--no-auto-gc",
        "origin",
        "main",
    )
    assert git.fetch_shallow(ORIGIN, None)[-1] == "HEAD"
    assert git.resolve(ORIGIN, "FETCH_HEAD")[len(head) :] == (
        "rev-parse",
        "--verify",
        "--quiet",
        "FETCH_HEAD^{commit}",
    )
    read, out = git.check_out(ORIGIN, "a" * 40, "agents/x")
    assert read[len(head) :] == ("read-tree", "a" * 40 + ":agents/x")
    assert out[len(head) :] == ("--work-tree=/app", "checkout-index", "--all", "--force", "--quiet")
    env = git.environment({"PATH": "/usr/bin"}, ORIGIN, None)
    assert env["GIT_CONFIG_NOSYSTEM"] == "1"
    assert env["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    assert (env["GIT_CONFIG_COUNT"], env["GIT_CONFIG_KEY_0"], env["GIT_CONFIG_VALUE_0"]) == (
        "1",
        "credential.helper",
        "",
    )


def test_a_token_is_answered_for_one_place_only() -> None:
    """The helper is told scheme, host and port; the token is in no argv and in no environment, only in its file."""
    env = git.environment({}, ORIGIN, CredentialKind.TOKEN)
    assert env["GIT_CONFIG_COUNT"] == "2"
    assert env["GIT_CONFIG_VALUE_1"] == (
        "/usr/bin/python3 -I -S /tmp/skep-git-credential.py /run/secrets/skep-git https git.example:8443"
    )


def test_ssh_believes_only_what_it_is_told() -> None:
    """Strict, with a file of Skep's own, and one key or none; a look at a server's key offers none."""
    for kind, key in ((CredentialKind.KEY, "-i /run/secrets/skep-git"), (None, "-i none")):
        command = git.environment({}, SSH, kind)["GIT_SSH_COMMAND"]
        assert command.startswith("/usr/bin/ssh -F none ")
        assert command.endswith(key)
        for option in ("StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "UserKnownHostsFile=/tmp/skep-known-hosts"):
            assert f" -o {option} " in command
    look = git.look_at_key(SSH)
    assert {"PubkeyAuthentication=no", "StrictHostKeyChecking=accept-new"} <= set(look)
    assert "-i" not in look
    assert look[-6:] == ("2222", "-l", "git", "--", "git.lan", "true")


def test_what_a_server_lists() -> None:
    """A tag goes over a branch, an annotated one leads to its commit; what is no hash is nothing."""
    one, two, three = "1" * 40, "2" * 40, "3" * 40
    text = f"{one}\trefs/heads/v1\n{two}\trefs/tags/v1\n{three}\trefs/tags/v1^{{}}\nnonsense\tHEAD\n"
    assert git.listed(text, "v1") == three
    assert git.listed(text.replace("^{}", "x"), "v1") == two
    assert git.listed(text, "v2") == ""
    assert git.listed(text, None) == ""
    assert git.listed(f"{one}\tHEAD\n", None) == one
    assert git.listed(f"{one}\trefs/heads/v1\n", "refs/heads/v1") == one


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """A repository in which one name is many things, each of them at a commit of its own."""
    made = Repository(tmp_path_factory.mktemp("upstream") / "a")
    places = (
        "refs/heads/both", "refs/tags/both", "refs/heads/heads/both", "refs/heads/sub/both",
        "refs/heads/refs/heads/both", "refs/tags/v1", "refs/heads/HEAD", "refs/pull/1/head", "refs/heads/pull/2/head",
        "refs/remotes/far/main", "refs/remotes/far/HEAD", "refs/heads/abcdef0",
    )  # fmt: skip
    for place in places:
        made.git("update-ref", place, made.commit({"at": place}))
    made.git("tag", "--annotate", "--message", "v2", "v2", made.commit({"at": "v2"}))
    made.commit({"at": "main"})
    return made


@pytest.mark.parametrize(
    "ref",
    [
        None, "HEAD", "main", "both", "heads/both", "tags/both", "refs/heads/both", "refs/heads/sub/both", "sub/both",
        "v1", "tags/v1", "v2", "tags/v2", "refs/tags/v2", "pull/1/head", "refs/pull/1/head", "pull/2/head", "far/main",
        "remotes/far/main", "far", "abcdef0",
    ],
)  # fmt: skip
def test_a_look_finds_what_a_fetch_takes(upstream, tmp_path, ref) -> None:
    """Whatever git itself takes for a ref, asked of a real repository."""
    here = Repository(tmp_path / "b")
    here.git("fetch", "--quiet", "--no-tags", str(upstream.path), ref or "HEAD")
    asked = git.list_remote(ORIGIN, ref)
    text = here.git("ls-remote", "--quiet", str(upstream.path), *asked[asked.index("origin") + 1 :])
    assert git.listed(text, ref) == here.git("rev-parse", "FETCH_HEAD^{commit}")


def test_names_after_a_whole_fetch() -> None:
    """A tag goes over a branch, as git itself has it; the start of a hash comes last."""
    assert git.revisions("HEAD") == ("refs/remotes/origin/HEAD",)
    assert git.revisions("heads/main")[0] == "refs/remotes/origin/main"
    assert git.revisions("refs/tags/v1")[0] == "refs/tags/v1"
    assert git.revisions(None) == ("refs/remotes/origin/HEAD",)
    assert git.revisions("main") == ("refs/tags/main", "refs/remotes/origin/main")
    assert git.revisions("abcdef0")[-1] == "abcdef0"
