"""Sources that cannot be built are refused, or fail, in words that say what to change; nothing else is touched."""

import io
import random
import tarfile

import pytest

pytestmark = pytest.mark.root


@pytest.fixture(scope="session")
def repository(git):
    """A repository with two branches, a tag, and an agent in a folder of it."""
    made = git.repository("agents")
    made.commit({"main.py": "print('from the first commit')"})
    made.git("tag", "v1")
    made.commit({"main.py": "print('from main')", "inner/agent/main.py": "print('from the folder')"})
    made.git("switch", "--quiet", "--create", "work")
    made.commit({"main.py": "print('from work')"})
    made.git("switch", "--quiet", "main")
    return made


def failed(user, name, source, **config):
    """Return the error of a build that must fail."""
    build = user.build(name, source, **config)
    assert build["status"] == "failed", build
    assert user.get(f"/agents/{name}")["status"] == "broken"
    return build["error"]


@pytest.mark.parametrize(
    ("ref", "path", "printed"),
    [
        (None, "", "from main"),
        ("work", "", "from work"),
        ("v1", "", "from the first commit"),
        ("commit", "", "from the first commit"),
        ("main", "inner/agent", "from the folder"),
    ],
)
def test_a_repository_is_built_at_any_ref(user, git, repository, ref, path, printed):
    """A branch, a tag, a commit, a folder, or nothing but the address: the right state runs, and is named."""
    commit = repository.git("rev-parse", "v1" if ref == "commit" else ref or "HEAD")
    source = {"url": git.url("agents"), "path": path}
    source |= {} if ref is None else {"ref": commit if ref == "commit" else ref}
    name = f"git-{ref}-{'inner' if path else 'whole'}".lower()

    build = user.build(name, {"git": source})

    assert (build["status"], build["commit"]) == ("succeeded", commit), build
    assert user.run(name)["output"]["stdout"] == f"{printed}\n"


def test_an_unknown_ref_is_named(user, git, repository):
    """A ref that is not in the repository is named in the error."""
    error = failed(user, "no-ref", {"git": {"url": git.url("agents"), "ref": "nowhere"}})

    assert error["code"] == "ref_not_found"
    assert "'nowhere'" in error["message"]


def test_an_unknown_folder_is_named(user, git, repository):
    """A folder that is not in the repository is named in the error."""
    error = failed(user, "no-path", {"git": {"url": git.url("agents"), "path": "outer"}})

    assert error["code"] == "path_not_found"
    assert "'outer'" in error["message"]


@pytest.mark.parametrize("where", ["http://127.0.0.1:9/agents", "missing"])
def test_an_unreachable_repository_is_named(user, git, repository, where):
    """A host that does not answer, or has no such repository, is named in the error."""
    url = git.url("missing") if where == "missing" else where

    error = failed(user, f"unreachable-{where[:4]}", {"git": {"url": url}})

    assert error["code"] == "repository_unreachable"
    assert url in error["message"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.org/a.git", "git_transport_refused"),
        ("ssh://git@example.org/a.git", "git_transport_refused"),
        ("file:///etc", "git_url_invalid"),
        ("https://u:p@example.org/a.git", "git_url_invalid"),
    ],
)
def test_addresses_without_the_operators_leave_are_refused(user, url, code):
    """Transports and hosts that the operator did not allow are refused at once, and no agent is made."""
    status, problem = user.refused("POST", "/agents", {"name": "foreign", "source": {"git": {"url": url}}})

    assert (status, problem["code"]) == (422, code)
    assert "source.git.url" in problem["fields"]
    assert user.ask("GET", "/agents/foreign").status == 404


@pytest.fixture(scope="session")
def large_repository(git):
    """A repository that is over the limit."""
    git.repository("large").commit({"main.py": "", "data": random.Random(1).randbytes(3 << 20)})


@pytest.mark.usefixtures("large_repository")
def test_a_repository_over_the_limit_is_refused(user, git):
    """A repository that is too large fails with the limit, and who may raise it."""
    error = failed(user, "large", {"git": {"url": git.url("large")}})

    assert error["code"] in ("repository_too_large", "source_too_large")
    assert "2 MiB" in error["message"]
    assert "SKEP_SOURCE_LIMIT_MB" in error["hint"]


def test_an_upload_that_unpacks_to_too_much_is_refused(user):
    """A small archive of a large folder is no way around the limit."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, size in (("main.py", 0), ("zeros", 8 << 20)):
            member = tarfile.TarInfo(name)
            member.size = size
            archive.addfile(member, io.BytesIO(bytes(size)))
    upload = user.post("/uploads", packed.getvalue(), Content_Type="application/gzip")

    error = failed(user, "bomb", {"upload": upload["id"]})

    assert error["code"] == "source_too_large"
    assert "2 MiB" in error["message"]


def test_nothing_recognised_lists_what_was_looked_for(user):
    """A source that is no agent: what was looked for, and what is there."""
    error = failed(user, "nothing", {"files": {"notes.txt": "no agent"}})

    assert error["code"] == "nothing_recognised"
    assert error["message"] == "Nothing was recognised. Files found: notes.txt."
    assert "main.py" in error["hint"]
    assert "pyproject.toml" in error["hint"]


def test_a_python_that_is_not_here_is_named(user):
    """requires-python that the machine cannot meet: both versions are said."""
    project = '[project]\nname = "new"\nversion = "1"\nrequires-python = ">=3.99"\n'

    error = failed(user, "too-new", {"files": {"main.py": "", "pyproject.toml": project}})

    assert error["code"] == "python_unavailable"
    assert ">=3.99" in error["message"]
    assert "sandboxes here have 3." in error["message"]


def test_dependencies_without_a_solution_are_told_by_the_resolver(user):
    """Dependencies that cannot be had together: the resolver's own words."""
    wants = "humanize==4.9.0\nhumanize==4.10.0\n"

    error = failed(user, "unresolvable", {"files": {"main.py": "", "requirements.txt": wants}})

    assert error["code"] == "dependencies_unresolvable"
    assert "humanize==4.9.0" in error["message"]
    assert "humanize==4.10.0" in error["message"]


def test_a_broken_build_leaves_the_version_before(user):
    """A version that runs goes on running when the next source cannot be built."""
    user.agent("lasting", "print('the first')")

    build = user.post("/agents/lasting/build", {"source": {"files": {"notes.txt": ""}}})

    assert user.built(build["id"])["status"] == "failed"
    assert user.run("lasting")["output"]["stdout"] == "the first\n"


def test_a_build_is_cancelled(user, git):
    """A build that waits for a host that does not answer is cancelled at once."""
    user.post("/agents", {"name": "held", "source": {"git": {"url": git.url("hold/agents")}}})
    build = user.post("/agents/held/build")
    events = user.stream(f"/builds/{build['id']}/log")
    next(events)
    events.close()

    user.post(f"/builds/{build['id']}/cancel")

    assert user.built(build["id"])["status"] == "cancelled"
