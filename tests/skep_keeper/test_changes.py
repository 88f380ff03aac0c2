"""What a sandbox changed over its layers is copied with the overlay's own marks, and with nothing else that bites."""

import os
import stat
from pathlib import Path

import pytest

from skep_keeper import overlay, rootfs, syscalls
from skep_keeper.disk import Disk
from skep_keeper.errors import KeeperError, NotFoundError
from skep_keeper.layers import Layers

pytestmark = pytest.mark.root

LOWER, CHANGES = "a" * 64, "b" * 64
OPAQUE, REDIRECT = "trusted.overlay.opaque", "trusted.overlay.redirect"


@pytest.fixture
def layers(tmp_path):
    """An empty store of layers, closed to others as the keeper's is."""
    (tmp_path / "layers").mkdir(mode=0o700)
    return Layers(str(tmp_path / "layers"))


@pytest.fixture
def upper(tmp_path):
    """The upper folder of an overlay that has an /app."""
    folder = tmp_path / "upper"
    (folder / "app").mkdir(parents=True)
    return folder


def seal(layers, upper, paths=("/app",), limit=1 << 20):
    """Seal what changed."""
    layers.seal(str(upper), paths, CHANGES, writable=True, limit=limit, changes=True)


@pytest.fixture
def stack(tmp_path, layers):
    """Mount sealed layers with an upper folder over them; gone at the end."""
    mounted = []
    disk = tmp_path / "disk"
    disk.mkdir()
    syscalls.mount("tmpfs", str(disk), "tmpfs", 0)

    def mount(*sealed):
        root, number = tmp_path / f"root{len(mounted)}", len(mounted)
        made = Disk(upper=f"{disk}/up{number}", work=f"{disk}/wk{number}", spool="")
        for path in (made.upper, made.work, tmp_path / "base/app"):
            Path(path).mkdir(parents=True, exist_ok=True)
        rootfs.mount(str(root), str(tmp_path / "base"), [str(tmp_path / "layers" / name) for name in sealed], made)
        mounted.append(str(root))
        return root, tmp_path / made.upper

    yield mount
    for root in (*reversed(mounted), str(disk)):
        syscalls.umount(root)


def tree(root):
    """Return the text of each file below *root*'s /app."""
    found = (root / "app").rglob("*")
    return {str(path.relative_to(root / "app")): path.read_text() for path in found if path.is_file()}


def test_a_stack_shows_what_was_seen(layers, stack, tmp_path):
    """Removed, replaced, renamed twice, exchanged, linked: through a layer of changes all is as it was."""
    source = tmp_path / "source"
    for name in ("gone", "d/a", "d/b", "e/x", "f/y", "file", "deep/one/two/z"):
        (source / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (source / "app" / name).write_text(name)
    layers.seal(str(source), ("/app",), LOWER, writable=True, limit=1 << 20)
    root, upper = stack(LOWER)
    app = root / "app"
    (app / "gone").unlink()
    (app / "d").rename(app / "moved")
    (app / "moved/a").unlink()
    (app / "moved").rename(app / "deep/moved")
    (app / "e").rename(app / "t")
    (app / "f").rename(app / "e")
    (app / "t").rename(app / "f")
    (app / "file").unlink()
    (app / "file").mkdir()
    (app / "deep/one/two").rename(app / "two")
    (app / "new").write_text("new")
    (app / "linked").hardlink_to(app / "new")
    seal(layers, upper)
    layer = tmp_path / "layers" / CHANGES

    again, _ = stack(LOWER, CHANGES)

    assert tree(again) == tree(root)
    assert "gone" not in tree(root)
    assert sorted(path.name for path in (again / "app").iterdir()) == sorted(path.name for path in app.iterdir())
    assert (layer / "app/new").stat().st_ino == (layer / "app/linked").stat().st_ino
    assert not (layer / "app/deep/moved/b").exists(), "what was not changed is not copied"


def test_only_the_kernels_marks_come_along(layers, upper, tmp_path):
    """A device is none that removes unless it is 0/0; attributes of other kinds stay behind."""
    os.mknod(upper / "app/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(upper / "app/disk", stat.S_IFBLK | 0o666, os.makedev(0, 0))
    os.mknod(upper / "app/removed", stat.S_IFCHR, os.makedev(0, 0))
    (upper / "app/folder").mkdir()
    os.setxattr(upper / "app/folder", OPAQUE, b"y")
    for name in ("trusted.other", "user.mine"):
        os.setxattr(upper / "app/folder", name, b"1")
    seal(layers, upper)
    app = tmp_path / "layers" / CHANGES / "app"

    assert sorted(path.name for path in app.iterdir()) == ["folder", "removed"]
    found = (app / "removed").lstat()
    assert (stat.S_ISCHR(found.st_mode), found.st_rdev, stat.S_IMODE(found.st_mode)) == (True, 0, 0)
    assert os.listxattr(app / "folder") == [OPAQUE]


@pytest.mark.parametrize("before", ["../x", "..", "x/y", "/etc", "/app", "/app/../etc/x", "/appx/y", "//app/x", ""])
def test_a_folder_that_stands_for_one_elsewhere_is_refused(layers, upper, before):
    """Only folders that a layer can have may be meant; half a layer is never seen."""
    (upper / "app/folder").mkdir()
    os.setxattr(upper / "app/folder", REDIRECT, before.encode())

    with pytest.raises(KeeperError, match="outside the layers"):
        seal(layers, upper)
    assert layers.names() == layers.unfinished() == []


@pytest.mark.parametrize("before", ["x", "..x", "/app/x", "/opt/env/lib/x"])
def test_names_that_a_folder_may_have_had(before):
    """A neighbour's, or one below a folder that layers have."""
    assert overlay.is_name_in_layers(before)


def test_nothing_changed_is_an_empty_layer(layers, upper, tmp_path):
    """A folder that is not among the changes is passed over; a link in its place is not followed."""
    seal(layers, upper, ("/app", "/opt/env"))

    assert [path.name for path in (tmp_path / "layers" / CHANGES).rglob("*")] == ["app"]
    layers.drop(CHANGES)
    (upper / "opt").symlink_to("/opt")
    with pytest.raises(NotFoundError):
        seal(layers, upper, ("/opt/env",))
