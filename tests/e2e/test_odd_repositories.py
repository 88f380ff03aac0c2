"""Repositories that are too much, too odd, or not what they were: each builds, or says why not."""

import os
import random

import pytest
from user import User

from skep.testing.git_server import serve_git
from skep.testing.installation import installation

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def git(tmp_path_factory):
    """A git server over HTTP."""
    with serve_git(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture(scope="module")
def user(git):
    """The admin of an installation with a small limit of the source's size."""
    settings = {"SKEP_GIT_HTTP_HOSTS": git.host, "SKEP_EGRESS_ALLOW_PRIVATE": git.host, "SKEP_SOURCE_LIMIT_MB": "4"}
    with installation(**settings) as skep:
        yield User(url=skep.url, token=skep.token)


def built(user, git, name, **source):
    """Build a repository that can be built; return the build."""
    build = user.build(name, {"git": {"url": git.url(name), **source}})
    assert build["status"] == "succeeded", build
    return build


def failed(user, git, name, agent="", **source):
    """Return the error of a build that must fail."""
    build = user.build(agent or name, {"git": {"url": git.url(name), **source}})
    assert build["status"] == "failed", build
    return build["error"]


def test_a_history_that_was_changed(user, git):
    """After a forced push a branch is what it is now; a commit that is gone is said to be, and why."""
    repository = git.repository("rewritten")
    repository.commit({"main.py": "print('first')"})
    gone = repository.commit({"main.py": "print('second')"})
    assert built(user, git, "rewritten", ref="main")["commit"] == gone
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    now = repository.commit({"main.py": "print('another second')"})
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")

    again = user.built(user.post("/agents/rewritten/build")["id"])
    error = failed(user, git, "rewritten", agent="pinned", ref=gone)

    assert (again["status"], again["commit"]) == ("succeeded", now)
    assert error["code"] == "ref_not_found"
    assert gone in error["message"]
    assert "forced push" in error["hint"]


def test_more_bytes_than_the_door_lets_in(user, git):
    """A repository that no packing makes smaller is stopped on its way, not when the disk is full."""
    git.repository("huge").commit({"main.py": "", "data": random.Random(1).randbytes(9 << 20)})

    error = failed(user, git, "huge")

    assert error["code"] == "repository_too_large"
    assert "4 MiB" in error["message"]
    assert "SKEP_SOURCE_LIMIT_MB" in error["hint"]


@pytest.mark.parametrize(("count", "code"), [(50_000, None), (50_001, "source_too_large")])
def test_fifty_thousand_files(user, git, count, code):
    """So many are built; one more is too many, and the limit is said."""
    name = f"files-{count}"
    repository = git.repository(name)
    commit = repository.commit({"main.py": "print('all there')"})
    blob = repository.git("rev-parse", f"{commit}:main.py")
    # What a folder with so many entries of one content is, without making them first.
    lines = "".join(f"100644 {blob}\td{at % 100}/f{at}\n" for at in range(count - 1))
    (repository.path / "index.txt").write_text(lines)
    repository.git("update-index", "--add", "--replace", "--index-info", stdin=repository.path / "index.txt")
    repository.git("commit", "--quiet", "--message", "many")
    if code is None:
        assert len(built(user, git, name)["commit"]) == 40
        assert user.run(name)["output"]["stdout"] == "all there\n"
    else:
        error = failed(user, git, name)
        assert error["code"] == code
        assert "50000 files" in error["message"]


def test_links_out_of_the_source_lead_nowhere_new(user, git):
    """A link stays a link: nothing of the machine comes into the source by it, nor is a folder taken through one."""
    repository = git.repository("links")
    repository.path.joinpath("out").symlink_to("/root")
    repository.path.joinpath("shadow").symlink_to("/etc/shadow")
    repository.path.joinpath("up").symlink_to("../../../../../../etc")
    program = "import os; print([os.readlink(name) for name in ('out', 'shadow', 'up')], os.path.exists('shadow'))"
    repository.commit({"main.py": program})

    built(user, git, "links")
    error = failed(user, git, "links", agent="through", path="up")

    printed = user.run("links")["output"]["stdout"]
    assert printed == "['/root', '/etc/shadow', '../../../../../../etc'] False\n"
    assert error["code"] == "path_not_found"


def test_submodules_and_pointers_are_named(user, git):
    """What is not fetched is said, in the log and in the result: submodules, and files of Git LFS."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    modules = f'[submodule "lib"]\n\tpath = lib\n\turl = {git.url("links")}\n'
    repository = git.repository("absent")
    repository.commit({"main.py": "print(1)", "model.bin": pointer, ".gitmodules": modules, "notes.txt": pointer * 9})
    commit = repository.git("rev-parse", "HEAD")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},lib")
    repository.git("commit", "--quiet", "--message", "a submodule")
    asked = len(git.requests)

    build = built(user, git, "absent")

    notices = build["recognised"]["notices"]
    assert [notice for notice in notices if ".gitmodules" in notice], notices
    named = [notice for notice in notices if "Git LFS" in notice]
    assert "'model.bin'" in named[0]
    assert "notes.txt" not in named[0]
    log = "".join(piece["text"] for piece in user.get(f"/builds/{build['id']}/log")["items"])
    assert all(notice in log for notice in notices)
    assert not [request for request in git.requests[asked:] if "/links" in request]


def test_names_that_nobody_expects(user, git):
    """Line ends, no UTF-8, a leading dash, a name like an option: all are files, and nothing else."""
    repository = git.repository("odd")
    for name in (b"line\nend", b"caf\xe9", b"-rf", b"--help", b"a\tb", b'"quoted"', b"\xf0\x9f\x90\x9d"):
        with open(os.fsencode(repository.path) + b"/" + name, "wb") as file:  # noqa: PTH123  the name is bytes
            file.write(b"x")
    program = "import os; print(sorted(os.listdir(b'.')))"
    repository.commit({"main.py": program})

    built(user, git, "odd")

    printed = user.run("odd")["output"]["stdout"]
    for name in (b"line\nend", b"caf\xe9", b"-rf", b"--help", b"a\tb", b'"quoted"', b"\xf0\x9f\x90\x9d"):
        assert repr(name) in printed


def test_a_repository_without_a_commit(user, git):
    """There is nothing to build yet, and that is what is said."""
    git.repository("empty").git("update-server-info")

    error = failed(user, git, "empty")

    assert error["code"] == "ref_not_found"
    assert "empty" in error["message"]
