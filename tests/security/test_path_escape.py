"""Rules 6 and 7: no name that a stranger gives, in whatever form, is a place outside of where it belongs."""

import io
import tarfile

import pytest

from skep.testing.git_server import serve_git

pytestmark = pytest.mark.root

SHOW = (
    'import os\nfor folder, _, names in os.walk("/app"):\n'
    '    for name in sorted(names):\n        print(os.path.join(folder, name))\nprint(os.path.exists("/app/evil"))\n'
)


@pytest.fixture(scope="module")
def git(tmp_path_factory):
    """A git server on the loopback."""
    with serve_git(tmp_path_factory.mktemp("repositories")) as server:
        yield server


@pytest.fixture(scope="module")
def operator(git):
    """The operator allows the git server."""
    return {"SKEP_GIT_HTTP_HOSTS": git.host, "SKEP_EGRESS_ALLOW_PRIVATE": git.host}


def packed(*members):
    """Return an archive of main.py and *members*: (name, type, content or target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, kind, content in (("main.py", tarfile.REGTYPE, SHOW), *members):
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o6755
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            tar.addfile(member, io.BytesIO(content.encode()))
    return out.getvalue()


REFUSED = {
    "parent": [("../evil", tarfile.REGTYPE, "x")],
    "absolute": [("/tmp/evil", tarfile.REGTYPE, "x")],
    "through a link": [("out", tarfile.SYMTYPE, "/tmp"), ("out/evil", tarfile.REGTYPE, "x")],
    "folder through a link": [("out", tarfile.SYMTYPE, "/tmp"), ("out/sub", tarfile.DIRTYPE, "")],
}
HARMLESS = {
    "link": [("evil", tarfile.SYMTYPE, "/etc/shadow")],
    "hard link": [("evil", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [("evil", tarfile.CHRTYPE, "")],
    "pipe": [("evil", tarfile.FIFOTYPE, "")],
    "hook": [(".git/hooks/post-checkout", tarfile.REGTYPE, "#!/bin/sh\ntouch /app/evil")],
}


@pytest.mark.parametrize("case", REFUSED)
def test_archives_that_lead_out(attacker, case):
    """An upload with an entry outside of itself is refused as a whole."""
    build = attacker.build({"upload": attacker.upload(packed(*REFUSED[case]))})
    assert (build["status"], build["error"]["code"]) == ("failed", "upload_invalid")


@pytest.mark.parametrize("case", HARMLESS)
def test_what_archives_hold_besides_files(attacker, case):
    """Links lead nowhere, and neither devices, pipes, hard links to others nor hooks come out of an archive."""
    build = attacker.build({"upload": attacker.upload(packed(*HARMLESS[case]))})
    said = attacker.says("", agent=build["agent_id"])

    assert said.endswith("False\n")
    assert ".git" not in said


def test_an_archive_that_grows(attacker):
    """A few kilobytes that unpack to more than is allowed, and more entries than are allowed, end in an error."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for number in range(50_100):
            tar.addfile(tarfile.TarInfo(f"file{number}"))
    build = attacker.build({"upload": attacker.upload(out.getvalue())})
    assert (build["status"], build["error"]["code"]) == ("failed", "source_too_large")


NAMES = ("../x", "/x", "a/../../x", "a/./b", ".", "", "a\0b", "a\nb", ".git/config", "x/.GIT/hooks/a", "-rf", "a\\b")


def test_names_of_inline_files(attacker):
    """Inline files have plain relative names, or are refused."""

    def status(name):
        source = {"files": {"main.py": "1", name: "x"}}
        return attacker.send("POST", "/api/v1/agents", {"name": "inline", "source": source})[0]

    assert {name: status(name) for name in NAMES} == dict.fromkeys(NAMES, 422)
    assert status("folder/plain.txt") == 201


ARTIFACTS = r"""
import os
folder = os.environb[b"SKEP_ARTIFACTS"]
for name in (b"new\nline", b"\xff\xfe", b"\x1b[31m", b"\r\nSet-Cookie: a=b", b"a\\b", b"plain.txt", b"%2e%2e", b"..x"):
    open(folder + b"/" + name, "wb").write(b"kept")
os.symlink("/etc/passwd", folder + b"/link")
os.symlink("/opt/skep", folder + b"/folder")
os.mkfifo(folder + b"/pipe")
open(folder + b"/sparse", "wb").truncate(1 << 29)
"""


def test_names_and_kinds_of_artifacts(attacker):
    """Only regular files with plain names are kept, links are not followed, and what was left out is told."""
    run = attacker.run(ARTIFACTS)
    kept = [item["path"] for item in attacker.ask(f"/api/v1/runs/{run['id']}/artifacts")["items"]]

    assert (run["status"], run["error"]["code"]) == ("failed", "artifacts_too_large")
    assert kept == ["%2e%2e", "..x", "plain.txt"]


def test_paths_of_artifacts(attacker):
    """A path is compared with the names that were kept, and opens nothing else."""
    run = attacker.run('open(os.environ["SKEP_ARTIFACTS"] + "/a.txt", "w").write("mine")')
    where = f"/api/v1/runs/{run['id']}/artifacts/"
    up = [
        "../../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc/passwd",
        "/etc/passwd",
        "a.txt%00",
        "./a.txt",
    ]

    assert [attacker.send("GET", where + path)[0] for path in up] == [404] * len(up)
    assert attacker.send("GET", where + "a.txt") == (200, b"mine")


@pytest.mark.parametrize("kind", ["symlink", "file", "result"])
def test_what_is_read_from_a_sandbox_is_the_sandbox_s(attacker, kind):
    """Links in place of artifacts and result are not followed to what the agent itself could not read or own."""
    codes = {
        "symlink": 'os.rename(a, "/tmp/a"); os.symlink("/opt/skep/spool", a)',
        "file": 'os.rename(a, "/tmp/a"); open(a, "w").write("x")',
        "result": 'os.symlink("/etc/passwd", os.environ["SKEP_OUTPUT"])',
    }
    run = attacker.run(f'a = os.environ["SKEP_ARTIFACTS"]; {codes[kind]}')

    assert (run["status"], run["result"]) == ("succeeded", None)
    assert attacker.ask(f"/api/v1/runs/{run['id']}/artifacts")["items"] == []


def test_a_hostile_repository(attacker, git):
    """Hooks, submodules, filters, attributes and links of a repository run nothing and lead nowhere."""
    repository = git.repository("hostile")
    other = git.repository("other")
    other.commit({"evil": "x"})
    repository.commit(
        {
            "main.py": SHOW,
            ".gitmodules": f'[submodule "evil"]\npath = evil\nurl = {git.url("other")}\nupdate = !touch /app/evil\n',
            ".gitattributes": "* filter=evil\n*.bin filter=lfs\n",
            ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:1/\n",
            "hooks/post-checkout": "#!/bin/sh\ntouch /app/evil\n",
        }
    )
    (repository.path / "shadow").symlink_to("/etc/shadow")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{other.git('rev-parse', 'HEAD')},evil")
    repository.git("add", "shadow")
    repository.git("commit", "--quiet", "-m", "a trap")
    build = attacker.build({"git": {"url": git.url("hostile")}})
    assert build["status"] == "succeeded", build["error"]
    said = attacker.says("", agent=build["agent_id"]).splitlines()

    assert "/app/main.py" in said
    assert "/app/evil/evil" not in said
    assert not [request for request in git.requests if "/other" in request]
