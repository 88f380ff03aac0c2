"""Packing a folder."""

import io
import os
import random
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.edge.cli.pack import Limits, file_list, link_stays_inside, pack
from skep.kernel.errors import InvalidError, TooLargeError

LIMITS = Limits(packed_mb=1, unpacked_mb=2)


def git(folder, *argv):
    """Run git in *folder*."""
    subprocess.run(
        ("git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(folder), *argv), check=True, capture_output=True
    )


def members(folder, limits=LIMITS):
    """Pack *folder* and return the members of the archive by name."""
    out = io.BytesIO()
    pack(folder, file_list(folder), out, limits=limits)
    out.seek(0)
    with tarfile.open(fileobj=out, mode="r:gz") as tar:
        return {info.name: info for info in tar.getmembers()}


@pytest.fixture
def folder(tmp_path):
    """A small agent with the usual rubbish."""
    made = tmp_path / "agent"
    for name in ("main.py", "lib/a.py", ".venv/x", "node_modules/y", "__pycache__/z.pyc", "secret.env"):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return made


def test_rubbish_stays_behind(folder):
    """Without git, environments and caches are left out, everything else is taken."""
    assert set(members(folder)) == {"main.py", "lib/a.py", "secret.env"}


def test_gitignore_decides_in_a_checkout(folder):
    """What git ignores is left out, what is new and not ignored is taken, what was deleted is no error."""
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("*.env\n.venv\nnode_modules\n__pycache__\n")
    (folder / "gone.py").write_text("x")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "x")
    (folder / "gone.py").unlink()
    (folder / "new file ü.py").write_text("x")
    assert set(members(folder)) == {".gitignore", "main.py", "lib/a.py", "new file ü.py"}


def test_gitignore_decides_without_a_checkout(folder):
    """What it names is left out, whether it stands on top or further in, and so is the usual rubbish."""
    (folder / ".gitignore").write_text("*.env\n/lib/*.log\n!kept.env\n")
    (folder / "lib" / ".gitignore").write_text("b.*\n")
    for name in ("kept.env", "lib/x.log", "lib/b.py", "b.py", "new\nline ü.env", ":(top)lib", "lib/x.env"):
        (folder / name).write_text("x")
    assert set(members(folder)) == {
        *(".gitignore", "main.py", "kept.env", "b.py", ":(top)lib"),
        *("lib/.gitignore", "lib/a.py"),
    }


def test_gitignore_reaches_into_checkouts_further_in(folder):
    """A repository that was cloned into the folder is part of it; what the folder ignores is ignored there, too."""
    (folder / ".gitignore").write_text("*.env\n")
    git(folder / "lib", "init", "-q")
    (folder / "lib" / "keys.env").write_text("x")
    assert set(members(folder)) == {".gitignore", "main.py", "lib/a.py"}


def test_links_are_ignored_without_a_checkout(folder):
    """A link that `.gitignore` names may lead where it likes."""
    (folder / ".gitignore").write_text("leak\n")
    (folder / "leak").symlink_to("/etc")
    assert "leak" not in members(folder)


def test_a_folder_that_the_repository_around_it_ignores_is_one_of_its_own(folder):
    """Its own `.gitignore` counts, that of the repository is not about what is in it."""
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("work/\n*.txt\n")
    inner = folder / "work" / "agent"
    inner.mkdir(parents=True)
    (inner / ".gitignore").write_text("*.env\n")
    for name in ("main.py", "note.txt", "keys.env"):
        (inner / name).write_text("x")
    assert set(members(inner)) == {".gitignore", "main.py", "note.txt"}


def test_a_folder_inside_a_checkout_is_packed_alone(folder):
    """The rest of the repository is not the agent."""
    git(folder, "init", "-q")
    assert set(members(folder / "lib")) == {"a.py"}


def test_execute_bits_are_kept_and_nothing_else(folder):
    """Owner, times and odd modes do not change what is built."""
    (folder / "main.py").chmod(0o4751)
    (folder / "secret.env").chmod(0o600)
    found = members(folder)
    assert found["main.py"].mode == 0o755
    assert found["secret.env"].mode == 0o644
    assert (found["main.py"].uid, found["main.py"].mtime, found["main.py"].uname) == (0, 0, "")


def test_the_same_folder_packs_to_the_same_bytes(folder):
    """An upload can be recognised."""
    first, second = io.BytesIO(), io.BytesIO()
    pack(folder, file_list(folder), first, limits=LIMITS)
    os.utime(folder / "main.py", (1, 1))
    pack(folder, file_list(folder), second, limits=LIMITS)
    assert first.getvalue() == second.getvalue()


def test_inner_links_are_kept(folder):
    """A relative link that stays inside is a link in the archive."""
    (folder / "lib" / "link.py").symlink_to("../main.py")
    assert members(folder)["lib/link.py"].linkname == "../main.py"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "lib/../../x"])
def test_links_that_lead_out_are_refused(folder, target):
    """Neither followed nor packed, and named."""
    (folder / "leak").symlink_to(target)
    with pytest.raises(InvalidError, match="leak") as caught:
        members(folder)
    assert caught.value.code == "link_leads_out"


def test_pipes_are_left_out(folder):
    """Only files and links are source; a pipe is never opened, and named."""
    os.mkfifo(folder / "pipe")
    assert "pipe" not in members(folder)
    assert pack(folder, file_list(folder), io.BytesIO(), limits=LIMITS).left_out == ("pipe",)


def test_too_much_is_refused(folder):
    """Of what is packed nothing is written when it is too much before packing; the server's setting is named."""
    (folder / "big").write_bytes(b"\0" * (3 << 20))
    out = io.BytesIO()
    with pytest.raises(TooLargeError, match="more than 2 MiB, the server's SKEP_SOURCE_LIMIT_MB"):
        pack(folder, file_list(folder), out, limits=LIMITS)
    assert out.getvalue() == b""
    assert "big" in members(folder, Limits(packed_mb=1, unpacked_mb=4))


def test_packing_ends_at_what_the_server_takes(folder):
    """What does not get smaller by packing is not packed to its end."""
    (folder / "noise").write_bytes(random.Random(0).randbytes(3 << 19))
    out = io.BytesIO()
    with pytest.raises(TooLargeError, match="larger than 1 MiB packed, the server's SKEP_UPLOAD_LIMIT_MB"):
        pack(folder, file_list(folder), out, limits=LIMITS)
    assert len(out.getvalue()) <= 1 << 20


@given(st.lists(st.sampled_from(["..", ".", "a", "b"]), max_size=6), st.lists(st.sampled_from(["a", "b"]), max_size=3))
def test_where_a_link_leads_is_computed_like_the_kernel_does(target, folder):
    """It stays inside exactly if the walk never goes above the root."""
    depth, lowest = len(folder), len(folder)
    for part in target:
        depth += {"..": -1, ".": 0}.get(part, 1)
        lowest = min(lowest, depth)
    name = "/".join([*folder, "link"])
    if lowest >= 0:
        assert link_stays_inside(name, "/".join(target) or ".")
    if depth < 0:
        assert not link_stays_inside(name, "/".join(target))
