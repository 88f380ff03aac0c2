"""Files of agents stay in the folder that they are fetched into, whatever they are called."""

import hashlib

import pytest

from skep.edge.cli.saving import parts_of, save
from skep.edge.wire.runs import ArtifactView
from skep.kernel.errors import ConflictError, InvalidError, UnavailableError


def file(path, content=b"honey"):
    """A file as a server announces it."""
    return ArtifactView(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())


async def pieces(*parts):
    """What comes of it."""
    for part in parts:
        yield part


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a\x00b", "a\x1b[2Jb", "a\nb", "a\u202eb", "\udc80"],
)
async def test_a_path_that_is_not_safe_is_refused(path, tmp_path):
    """Absolute, climbing, empty, or with what acts on a terminal: nothing is made."""
    folder = tmp_path / "into"
    with pytest.raises(InvalidError) as refused:
        await save(folder, file("x").model_copy(update={"path": path}), pieces(b"honey"), force=True)
    assert "\x1b" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_ordinary_names_are_safe():
    """Letters of any script, blanks, dots inside."""
    assert parts_of("a b/..c/Über.md") == ("a b", "..c", "Über.md")


async def test_a_file_is_put_below_the_folder(tmp_path):
    """Folders are made; nothing else is left; the file may be read and not run."""
    await save(tmp_path / "new", file("a/b/c.txt"), pieces(b"ho", b"ney"), force=False)

    made = tmp_path / "new" / "a" / "b" / "c.txt"
    assert made.read_bytes() == b"honey"
    assert made.stat().st_mode & 0o111 == 0
    assert [path.name for path in made.parent.iterdir()] == ["c.txt"]


async def test_what_is_there_stays_unless_it_is_said(tmp_path):
    """Without force the old content stays; with it a file is exchanged as a whole."""
    (tmp_path / "x").write_text("old")
    with pytest.raises(ConflictError, match="there already"):
        await save(tmp_path, file("x"), pieces(b"honey"), force=False)
    assert (tmp_path / "x").read_text() == "old"

    await save(tmp_path, file("x"), pieces(b"honey"), force=True)

    assert (tmp_path / "x").read_bytes() == b"honey"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("force", [False, True])
async def test_no_link_is_followed(tmp_path, force):
    """A link in the folder, to a folder or to a file, leads nowhere."""
    outside, folder = tmp_path / "outside", tmp_path / "into"
    outside.mkdir()
    folder.mkdir()
    (outside / "kept").write_text("old")
    (folder / "dir").symlink_to(outside)
    (folder / "kept").symlink_to(outside / "kept")
    (folder / "new").symlink_to(outside / "new")

    with pytest.raises(ConflictError):
        await save(folder, file("dir/kept"), pieces(b"honey"), force=force)
    for name in ("kept", "new"):
        if force:
            await save(folder, file(name), pieces(b"honey"), force=True)
            assert not (folder / name).is_symlink()
        else:
            with pytest.raises(ConflictError):
                await save(folder, file(name), pieces(b"honey"), force=False)

    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "old"


@pytest.mark.parametrize("came", [(b"hon",), (b"honey", b"!"), (b"money",), ()])
@pytest.mark.parametrize("force", [False, True])
async def test_a_file_that_is_not_what_was_announced_is_not_there(tmp_path, came, force):
    """Too short, too long, another content: the old stays, or nothing."""
    if force:
        (tmp_path / "x").write_text("old")
    with pytest.raises(UnavailableError):
        await save(tmp_path, file("x"), pieces(*came), force=force)
    assert [path.read_text() for path in tmp_path.iterdir()] == (["old"] if force else [])
