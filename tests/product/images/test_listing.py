"""The program that looks into a source, and the reading of what it says."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kernel.errors import InvalidError
from skep.product.images.fetch import inside, listing


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the program as a sandbox does, with a Python of its own."""
    program = cwd / "inside.py"
    program.write_bytes(listing.program())
    return subprocess.run(
        [sys.executable, "-I", "-S", str(program), *arguments], capture_output=True, text=True, check=False
    )


def look(folder: Path, tmp_path: Path, limit: int = 10**9, *patterns: str):
    """List *folder*."""
    answer = tmp_path / "answer.json"
    ran = run("list", str(folder), str(answer), str(limit), *patterns, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    return listing.parse(answer.read_bytes())


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> str:
    """Pack *members*."""
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    """Make an entry."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def test_a_source_is_listed(tmp_path: Path) -> None:
    """Paths with sizes, wanted texts with hashes, links, and without .git."""
    app = tmp_path / "app"
    (app / ".git").mkdir(parents=True)
    (app / ".git" / "config").write_text("x")
    (app / "src" / "a").mkdir(parents=True)
    (app / "main.py").write_text("print()")
    (app / "src" / "a" / "x.yaml").write_text("a: 1")
    (app / "src" / "x.yaml").write_text("no")
    (app / "link").symlink_to("/etc/passwd")
    (app / "folder").symlink_to("src")
    found, python = look(app, tmp_path, 10**9, "main.py", "src/*/x.yaml", "link")
    assert set(found.files) == {"main.py", "src/a/x.yaml", "src/x.yaml", "link", "folder"}
    assert dict(found.texts) == {"main.py": "print()", "src/a/x.yaml": "a: 1"}
    assert set(found.hashes) == set(found.texts)
    assert python == ".".join(map(str, sys.version_info[:3]))


def test_the_digest_is_of_paths_modes_and_contents(tmp_path: Path) -> None:
    """Each change changes it; the time of a file does not."""
    app = tmp_path / "app"
    app.mkdir()
    file = app / "a"
    file.write_text("1")
    digests = [look(app, tmp_path)[0].digest]
    file.touch()
    assert look(app, tmp_path)[0].digest == digests[0]
    for change in (
        lambda: file.write_text("2"),
        lambda: file.chmod(0o755),
        lambda: file.rename(app / "b"),
        lambda: (app / "c").symlink_to("a"),
        lambda: ((app / "c").unlink(), (app / "c").symlink_to("b")),
    ):
        change()
        digests.append(look(app, tmp_path)[0].digest)
    assert len(set(digests)) == len(digests)


def test_large_texts_are_hashed_only(tmp_path: Path) -> None:
    """A lock of any size still decides the environment's key."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "uv.lock").write_text("x" * (inside.MAX_LOCK_TEXT + 1))
    (app / "pyproject.toml").write_text("x" * (inside.MAX_TEXT + 1))
    (app / "requirements.txt").write_text("x" * (inside.MAX_TEXT + 1))
    found, _ = look(app, tmp_path, 10**9, "uv.lock", "pyproject.toml", "requirements.txt")
    assert set(found.texts) == {"requirements.txt"}
    assert set(found.hashes) == {"uv.lock", "pyproject.toml", "requirements.txt"}


def test_a_folder_of_many_projects_leaves_room(tmp_path: Path) -> None:
    """One pattern takes a part of the texts only, and those of the root come first."""
    app = tmp_path / "app"
    for number in range(100):
        (app / f"p{number:03}").mkdir(parents=True)
        (app / f"p{number:03}" / "requirements.txt").write_text("a")
    (app / "src/bees/config").mkdir(parents=True)
    (app / "src/bees/config/agents.yaml").write_text("b")
    (app / "zzz.toml").write_text("c")
    found, _ = look(app, tmp_path, 10**9, "*/requirements.txt", "src/*/config/agents.yaml", "zzz.toml")
    assert next(iter(found.texts)) == "zzz.toml"
    assert "src/bees/config/agents.yaml" in found.texts
    assert len(found.texts) == 2 + inside.MAX_TEXTS_OF_PATTERN


def test_a_source_over_the_limit_is_refused(tmp_path: Path) -> None:
    """The exit code says so."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a").write_text("x" * 100)
    ran = run("list", str(tmp_path / "app"), str(tmp_path / "answer"), "99", cwd=tmp_path)
    assert ran.returncode == inside.TOO_LARGE


def test_an_upload_is_unpacked(tmp_path: Path) -> None:
    """Folders, files, the executable bit and links; only what lies below the folder asked for."""
    packed = archive(
        tmp_path / "a.tgz",
        (member("./top/main.py", mode=0o600), b"1"),
        (member("top/run.sh", mode=0o4755), b"2"),
        (member("top/empty", tarfile.DIRTYPE), b""),
        (member("top/link", tarfile.SYMTYPE, "main.py"), b""),
        (member("top/.git/config"), b"x"),
        (member("top/pipe", tarfile.FIFOTYPE), b""),
        (member("top/device", tarfile.CHRTYPE), b""),
        (member("other"), b"3"),
    )
    app = tmp_path / "app"
    app.mkdir()
    assert run("unpack", packed, "top", str(app), "1000", cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in app.iterdir()) == ["empty", "link", "main.py", "run.sh"]
    assert (app / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert (app / "main.py").stat().st_mode & 0o7777 == 0o644
    assert not Path(packed).exists()


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([(member("../x"), b"1")], inside.BAD_ARCHIVE),
        ([(member("/x"), b"1")], inside.BAD_ARCHIVE),
        ([(member("a/../../x"), b"1")], inside.BAD_ARCHIVE),
        ([(member("l", tarfile.SYMTYPE, "/tmp"), b""), (member("l/x"), b"1")], inside.BAD_ARCHIVE),
        ([(member("l", tarfile.SYMTYPE, ".."), b""), (member("l/d", tarfile.DIRTYPE), b"")], inside.BAD_ARCHIVE),
        ([(member("big"), b"x" * 2000)], inside.TOO_LARGE),
        ([], inside.NO_FOLDER),
    ],
)
def test_hostile_uploads_are_refused(tmp_path: Path, members, code: int) -> None:
    """Nothing is written outside the target."""
    app = tmp_path / "deep" / "app"
    app.mkdir(parents=True)
    packed = archive(tmp_path / "a.tgz", *members)
    assert run("unpack", packed, "", str(app), "1000", cwd=tmp_path).returncode == code
    assert [path.name for path in app.parent.iterdir()] == ["app"]


def test_what_is_no_archive_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Each has its exit code."""
    (tmp_path / "a").write_bytes(b"nonsense" * 100)
    assert run("unpack", str(tmp_path / "a"), "", str(tmp_path), "1000", cwd=tmp_path).returncode == inside.BAD_ARCHIVE
    packed = archive(tmp_path / "b", (member("x"), b"1"))
    assert run("unpack", packed, "y", str(tmp_path), "1000", cwd=tmp_path).returncode == inside.NO_FOLDER


GOOD = {"files": {"a": 1}, "texts": {"a": "x"}, "hashes": {"a": "0" * 64}, "digest": "0" * 64, "python": "3.11.2"}


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "x"},
        {"digest": None},
        {"python": "3.11"},
        {"python": "3.11.2\n"},
        {"files": []},
        {"files": {"a": -1}},
        {"files": {"a": True}},
        {"files": {"a": 1.5}},
        {"files": {"": 1}},
        {"files": {"a" * 5000: 1}},
        {"files": {str(i): 1 for i in range(50_001)}},
        {"texts": {"a": 1}},
        {"texts": {str(i): "" for i in range(65)}},
        {"texts": {"a": "x" * 3_000_000}},
        {"hashes": {"a": "x"}},
    ],
)
def test_an_answer_is_read_with_suspicion(change) -> None:
    """Whatever the program would not write is refused."""
    listing.parse(json.dumps(GOOD).encode())
    with pytest.raises(InvalidError):
        listing.parse(json.dumps({**GOOD, **change}).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_way(data: bytes) -> None:
    """No answer makes the parser fail otherwise."""
    with pytest.raises(InvalidError):
        listing.parse(data)
    with pytest.raises(InvalidError):
        listing.parse(b"[" * 100_000)
