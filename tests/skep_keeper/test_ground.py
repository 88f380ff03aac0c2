"""What sandboxes stand on: base tree, ranges of ids, disks, trusted folders."""

import dataclasses
import os

import pytest

from skep_keeper import base, disk, files
from skep_keeper.errors import StartError
from skep_keeper.ranges import Ranges
from skep_keeper.rootfs import overlay_options, owned
from skep_keeper.vocabulary import Spec

SPEC = Spec(
    id="sbx_" + "0" * 26,
    cpus=1,
    memory_bytes=256 << 20,
    disk_bytes=1 << 30,
    pids=64,
    open_files=1024,
    output_bytes=10 << 20,
    layers=(),
    doors=(),
)


@pytest.fixture
def host(tmp_path):
    """A host's /etc, a CA file and a supervisor."""
    etc = tmp_path / "etc"
    (etc / "ssl/certs").mkdir(parents=True)
    (etc / "ssl/private").mkdir(mode=0o700)
    (etc / "ssl/private/key.pem").write_text("secret")
    (etc / "ssl/certs/one.pem").symlink_to("/usr/share/one.pem")
    (etc / "shadow").write_text("secret")
    (etc / "services").write_text("http 80/tcp\n")
    (etc / "mime.types").write_text("secret")
    (etc / "mime.types").chmod(0o600)
    (tmp_path / "ca.pem").write_text("CERTIFICATES")
    (tmp_path / "supervisor").mkdir()
    (tmp_path / "supervisor/__main__.py").write_text("pass\n")
    (tmp_path / "guest").mkdir()
    for name in ("__init__.py", "skep.py", "skep.mjs", "skep-ask"):
        (tmp_path / "guest" / name).write_text(f"# {name}\n")
    return tmp_path


def plan(host):
    """Plan a base from *host*, by path."""
    entries = base.plan(
        supervisor=str(host / "supervisor"),
        guest=str(host / "guest"),
        ca_file=str(host / "ca.pem"),
        etc=str(host / "etc"),
    )
    return {entry.path: entry for entry in entries}


def test_only_what_is_named_and_public_comes_in(host):
    """Of the host's /etc only chosen files that everybody may read; the rest is made up."""
    entries = plan(host)

    assert entries["etc/services"].data == b"http 80/tcp\n"
    assert entries["etc/ssl/certs/one.pem"].target == "/usr/share/one.pem"
    assert entries["etc/ssl/certs/ca-certificates.crt"].data == b"CERTIFICATES"
    assert b"agent:x:1000" in entries["etc/passwd"].data
    assert not [path for path, entry in entries.items() if "shadow" in path or (entry.data and b"secret" in entry.data)]


def test_agents_find_what_they_may_import_and_call(host):
    """Each file of the guest is a module of its own beside the others; the command can be executed."""
    entries = plan(host)
    (host / "base").mkdir()
    built = base.build(tuple(entries.values()), str(host / "base"))

    assert entries["opt/skep/lib/skep.py"].data == b"# skep.py\n"
    assert entries["opt/skep/lib/skep.mjs"].data == b"# skep.mjs\n"
    assert "opt/skep/lib/__init__.py" not in entries
    assert os.access(f"{built}/opt/skep/bin/skep-ask", os.X_OK)
    assert not os.access(f"{built}/opt/skep/lib/skep.py", os.X_OK)


def test_a_base_is_named_by_what_is_in_it(host):
    """The same content is the same base; any change is another one; unused ones go."""
    folder = host / "base"
    folder.mkdir()
    first = base.build(tuple(plan(host).values()), str(folder))
    assert base.build(tuple(plan(host).values()), str(folder)) == first
    (host / "ca.pem").write_text("OTHER")
    second = base.build(tuple(plan(host).values()), str(folder))

    assert second != first
    assert base.drop_unused(str(folder), second, [first]) == []
    assert base.drop_unused(str(folder), second, []) == [first]
    assert os.listdir(folder) == [os.path.basename(second)]  # noqa: PTH119, PTH208


def test_an_id_range_belongs_to_one_sandbox(tmp_path):
    """Claims are repeatable, distinct, and free again when released or when their owner is gone."""
    ranges = Ranges(str(tmp_path / "ranges"))
    owners = [tmp_path / name for name in ("a", "b", "c")]
    for owner in owners:
        owner.mkdir()
    first, second, _ = (ranges.claim(str(owner)) for owner in owners)

    assert first == ranges.claim(str(owners[0])) != second
    assert first % 65536 == second % 65536 == 0
    owners[1].rmdir()
    assert ranges.stale(str(tmp_path)) == [str(owners[1])]
    (tmp_path / "d").mkdir()
    assert ranges.claim(str(tmp_path / "d")) == second
    ranges.release(str(owners[0]))
    ranges.release(str(owners[0]))
    (tmp_path / "e").mkdir()
    assert ranges.claim(str(tmp_path / "e")) == first


def test_a_disk_image_holds_what_is_promised_and_the_log():
    """The agent's bytes, and blocks kept back for the supervisor; files are bounded, too."""
    size = disk.image_bytes(SPEC)

    assert size == (1 << 30) + disk.reserve(SPEC)
    assert disk.reserve(SPEC) == 41 << 20
    assert disk.mkfs_argv("/sbin/mkfs.ext4", "/x", size) == (
        *("/sbin/mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal,^resize_inode"),
        *("-E", "nodiscard,lazy_itable_init=1,root_owner=0:0", "-N", "68160", "-m", "0", "/x", "272640"),
    )
    assert disk.tune_argv("/sbin/tune2fs", "/x", 41 << 20) == ("/sbin/tune2fs", "-r", "10496", "/x")


@pytest.mark.parametrize("disk_mib", [16, 17, 32, 64, 100])
def test_a_small_disk_keeps_back_no_more_than_half(disk_mib):
    """ext4 reserves at most half of its blocks: a sandbox whose disk is smaller than its log can be made, too."""
    small = dataclasses.replace(SPEC, disk_bytes=disk_mib << 20, output_bytes=64 << 20)

    assert disk.reserve(small) == disk_mib << 20
    assert disk.image_bytes(small) == 2 * disk.reserve(small)


def test_the_highest_layer_is_named_first():
    """Layers are told lowest first; overlay wants the highest first, the base last."""
    made = disk.Disk(upper="/u", work="/w", spool="/s")

    assert overlay_options("/base", ["/low", "/high"], made) == (
        "lowerdir=/high:/low:/base,upperdir=/u,workdir=/w,redirect_dir=on,metacopy=off"
    )


def test_folders_that_layers_bring_are_not_made():
    """A sandbox gets its own /app and /opt/env only where no layer has one; so do runtimes."""
    made = {"/app", "/opt/env", "/opt/node", "/opt/python"}
    assert made < {folder.path for folder in owned(lambda _: False)}
    assert made & {folder.path for folder in owned(lambda _: True)} == set()


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a,b", "/a:b", "/a b", "/a\\b", "/a\nb"])
def test_paths_that_mount_options_cannot_hold_are_refused(path):
    """Commas, colons and the like would change what is mounted."""
    with pytest.raises(StartError):
        files.require_trusted(path, "--run-dir")


def test_a_link_on_the_way_is_refused(tmp_path):
    """Whoever owns the link could lead the keeper elsewhere."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(StartError):
        files.require_trusted(str(tmp_path / "link/run"), "--run-dir")
