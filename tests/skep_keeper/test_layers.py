"""Sealing copies what hostile hands have made, and takes nothing along that could bite."""

import os
import stat
import subprocess

import pytest

from skep_keeper.errors import KeeperError, NotFoundError
from skep_keeper.layers import Layers

LAYER = "a" * 64


@pytest.fixture
def root(tmp_path):
    """The root of a sandbox with an /app."""
    folder = tmp_path / "root"
    (folder / "app/src").mkdir(parents=True)
    (folder / "app/src/main.py").write_text("print()\n")
    return folder


@pytest.fixture
def layers(tmp_path):
    """An empty store of layers."""
    (tmp_path / "layers").mkdir()
    return Layers(str(tmp_path / "layers"))


def seal(layers, root, *, writable=False, limit=1 << 20, paths=("/app",)):
    """Seal /app, and return the layer's folder."""
    layers.seal(str(root), paths, LAYER, writable=writable, limit=limit)
    return root.parent / "layers" / LAYER


def mode(path):
    """Return the permissions of *path*."""
    return stat.S_IMODE(path.stat().st_mode)


def test_files_links_folders_and_times_are_kept(layers, root):
    """What a program needs is there: contents, links as they were, modification times."""
    (root / "app/link").symlink_to("/etc/shadow")
    os.utime(root / "app/src/main.py", ns=(1, 1_234_567_890_123))
    app = seal(layers, root) / "app"

    assert (app / "src/main.py").read_text() == "print()\n"
    assert os.fspath((app / "link").readlink()) == "/etc/shadow"
    assert (app / "src/main.py").stat().st_mtime_ns == 1_234_567_890_123
    assert layers.names() == [LAYER]


def test_the_size_is_told_the_first_time_and_the_second(layers, root):
    """Sealing again changes nothing and says the same size."""
    first = layers.seal(str(root), ("/app",), LAYER, writable=False, limit=1 << 20)
    (root / "app/more").write_text("more")

    assert layers.seal(str(root), ("/app",), LAYER, writable=False, limit=1 << 20) == first == len("print()\n")
    assert not (root.parent / "layers" / LAYER / "app/more").exists()


def test_everybody_can_read_and_only_writable_ones_be_written(layers, root):
    """The reader is not the owner any more: private modes are opened, set-id and sticky bits fall."""
    private = root / "app/private"
    private.mkdir(mode=0o700)
    (private / "tool").write_text("x")
    (private / "tool").chmod(0o6700)
    private.chmod(0o3700)
    closed = seal(layers, root)
    assert mode(closed / "app/private") == 0o755
    assert mode(closed / "app/private/tool") == 0o755
    assert mode(closed / "app/src/main.py") == 0o644

    layers.drop(LAYER)
    opened = seal(layers, root, writable=True)
    assert mode(opened / "app/private") == 0o777
    assert mode(opened / "app/private/tool") == 0o777
    assert mode(opened / "app/src/main.py") == 0o666


def test_special_files_stay_behind(layers, root):
    """Pipes, sockets and devices are not taken."""
    os.mkfifo(root / "app/pipe")
    os.mknod(root / "app/socket", 0o600 | stat.S_IFSOCK)

    assert sorted(path.name for path in (seal(layers, root) / "app").iterdir()) == ["src"]


def test_no_link_is_followed_on_the_way(layers, root):
    """A folder that is exchanged for a link to elsewhere is not sealed."""
    (root / "elsewhere").mkdir()
    (root / "elsewhere/secret").write_text("secret")
    (root / "opt").symlink_to("elsewhere")
    with pytest.raises(NotFoundError):
        seal(layers, root, paths=("/opt/env",))
    (root / "app/link").symlink_to("../elsewhere")

    assert (seal(layers, root) / "app/link").is_symlink()


def test_many_names_of_one_file_are_one_file(layers, root):
    """Hard links do not multiply a layer."""
    (root / "app/big").write_bytes(b"x" * 1000)
    for number in range(50):
        os.link(root / "app/big", root / f"app/name{number}")
    app = seal(layers, root, limit=2000) / "app"

    assert (app / "big").stat().st_ino == (app / "name49").stat().st_ino


def test_a_hole_stays_a_hole(layers, root):
    """A sparse file costs the layer no more of the disk than it costs the sandbox."""
    with (root / "app/sparse").open("wb") as file:
        file.write(b"head")
        file.seek(1 << 30)
        file.write(b"tail")
    kept = seal(layers, root, limit=2 << 30) / "app/sparse"

    assert (kept.stat().st_size, kept.stat().st_blocks * 512 < 1 << 20) == ((1 << 30) + 4, True)
    with kept.open("rb") as file:
        assert file.read(5) == b"head\0"
        file.seek(-5, os.SEEK_END)
        assert file.read() == b"\0tail"


@pytest.mark.parametrize("shape", ["size", "sparse", "depth"])
def test_what_is_too_large_leaves_nothing(layers, root, shape):
    """Bytes (real or not) and depth are bounded; half a layer is never seen."""
    if shape == "size":
        (root / "app/big").write_bytes(b"x" * 2000)
    if shape == "sparse":
        with (root / "app/big").open("wb") as file:
            file.truncate(1 << 40)
    if shape == "depth":
        path = root / "app"
        for _ in range(120):
            path /= "d"
            path.mkdir()
    with pytest.raises(KeeperError) as caught:
        seal(layers, root, limit=1000)

    assert caught.value.code == "too_large"
    assert list((root.parent / "layers").iterdir()) == []


@pytest.fixture
def few_names(tmp_path):
    """A store on a file system that can have a few hundred files."""
    folder = tmp_path / "layers"
    folder.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "nr_inodes=400,size=1g", "few", str(folder)), check=True)
    yield Layers(str(folder))
    subprocess.run(("umount", str(folder)), check=True)


@pytest.mark.root
def test_empty_files_do_not_take_the_last_names(few_names, root):
    """They have no bytes that a limit could bound; what was begun is gone, and others can make files."""
    for number in range(390):
        (root / f"app/{number}").touch()
    with pytest.raises(KeeperError, match="hardly any more files") as caught:
        seal(few_names, root)

    assert caught.value.code == "disk_full"
    assert few_names.names() == []
    assert list((root.parent / "layers").iterdir()) == []


def test_what_a_crash_left_is_not_a_layer(layers, root):
    """A half sealed or half dropped layer is no layer, and can be removed."""
    (root.parent / "layers/.new-1/app").mkdir(parents=True)

    assert layers.names() == []
    for name in layers.unfinished():
        layers.drop_unfinished(name)
    assert list((root.parent / "layers").iterdir()) == []


def test_dropping_twice_is_no_error(layers, root):
    """A layer that is gone stays gone."""
    seal(layers, root)
    layers.drop(LAYER)
    layers.drop(LAYER)

    assert layers.names() == []
