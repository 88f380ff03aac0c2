"""Sandboxes are made, found and removed; every verb can be repeated."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from tests.skep_keeper.conftest import Asker, new_id

from skep.testing.keeper import start_keeper
from skep.testing.wait import until_sync

pytestmark = pytest.mark.root


def traces(ask):
    """Name what the machine still holds of a keeper's sandboxes, found without the keeper."""
    run, store = ask.running.run_dir, ask.running.store_dir
    found = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines() if str(run / "s") in line]
    found += [str(path) for path in (run / "s").iterdir()]
    found += [str(path) for path in (run / "runc").iterdir()]
    found += [str(path) for path in (store / "disks").glob("*.img")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/skep/{ask.running.instance}/*") if path.is_dir()]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"skep/{ask.running.instance}/*") if path.is_dir()]
    for claim in Path("/run/skep/ranges").iterdir():
        if claim.is_symlink() and str(claim.readlink()).startswith(str(run)):
            found.append(str(claim))
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        if path.read_text().startswith(str(store)):
            found.append(str(path))
    return found


def test_creating_twice_makes_one(ask):
    """The second create finds what the first has made."""
    first = ask.create(1)["ok"]
    pid = ask.process(1)

    assert ask.create(1)["ok"] == first
    assert ask.process(1) == pid
    assert [item["id"] for item in ask("list")["items"]] == [new_id(1)]


def test_an_id_means_one_specification(ask):
    """The same id with another specification is a conflict, and changes nothing."""
    ask.create(1)

    assert ask.create(1, pids=40)["error"] == "conflict"
    assert ask("inspect", id=new_id(1))["ok"]["alive"] is True


def test_nothing_is_left_of_a_destroyed_sandbox(ask):
    """No process, mount, control group, image, loop device, folder, range of ids; and again is no error."""
    ask.create(1)
    pid = ask.process(1)

    assert ask("destroy", id=new_id(1)) == {"ok": {}}
    assert traces(ask) == []
    assert not Path(f"/proc/{pid}").exists()
    assert ask("destroy", id=new_id(1)) == {"ok": {}}
    assert ask("leftovers") == {"items": [], "more": False}


def test_what_cannot_be_made_leaves_nothing(ask):
    """A create that fails removes what it had begun."""
    assert ask.create(1, layers=["a" * 64])["error"] == "not_found"
    assert traces(ask) == []


def test_a_sandbox_that_does_not_exist(ask):
    """Looking at nothing is an error; removing nothing is none."""
    for op, more in (("inspect", {}), ("kill", {}), ("listen", {"port": 80}), ("spool", SPOOL), ("seal", SEAL)):
        assert ask(op, id=new_id(9), **more)["error"] == "not_found", op


SPOOL = {"command": "cmd", "part": "out"}
SEAL = {"paths": ["/app"], "layer": "a" * 64, "writable": False, "changes": False}


@pytest.mark.parametrize("kept", ["intent.json", "config.json", "nothing"])
def test_half_made_ones_are_made_anew(ask, kept):
    """A sandbox without the mark of wholeness is removed and made again, whatever state it is in."""
    ask.create(1)
    old = ask.process(1)
    (ask.folder(1) / "made.json").unlink()
    if kept != "config.json":
        (ask.folder(1) / "config.json").unlink()
    if kept == "nothing":
        (ask.folder(1) / "intent.json").unlink()

    listed = {item["id"]: item["made"] for item in ask("list")["items"]}
    assert listed == {new_id(1): False}
    assert ask.create(1)["ok"]["alive"] is True
    assert ask.process(1) != old
    assert not Path(f"/proc/{old}").exists()


def test_a_killed_sandbox_is_seen_dead_and_keeps_its_files(ask):
    """After `kill` nothing runs, and the rest stays until it is destroyed."""
    ask.create(1)
    pid = ask.process(1)

    assert ask("kill", id=new_id(1)) == {"ok": {}}
    seen = ask("inspect", id=new_id(1))["ok"]
    assert (seen["made"], seen["alive"], seen["pids"]) == (True, False, 0)
    assert not Path(f"/proc/{pid}").exists()
    assert os.path.ismount(ask.folder(1) / "gate/root")


def test_a_process_1_that_dies_by_itself_is_seen(ask):
    """A death that nobody asked for is seen, too, and leaves no zombie once it is destroyed."""
    ask.create(1)
    pid = ask.process(1)
    os.kill(pid, signal.SIGKILL)

    until_sync(lambda: ask("inspect", id=new_id(1))["ok"]["alive"] is False)
    ask("destroy", id=new_id(1))
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_id_that_was_given_to_another_is_not_the_sandbox(ask):
    """Identity is the id and the start time; the other process is left alone."""
    ask.create(1)
    ask("kill", id=new_id(1))
    made = json.loads((ask.folder(1) / "made.json").read_text())
    with subprocess.Popen(["/usr/bin/sleep", "100"]) as other:
        (ask.folder(1) / "made.json").write_text(json.dumps({**made, "pid": other.pid}))
        assert ask("inspect", id=new_id(1))["ok"]["alive"] is False
        assert ask("destroy", id=new_id(1)) == {"ok": {}}
        assert other.poll() is None
        other.kill()


def test_after_a_reboot_nothing_is_alive_and_all_can_be_removed(ask):
    """What was written in an earlier boot names no process of this one."""
    ask.create(1)
    ask("kill", id=new_id(1))
    for name in ("made.json", "intent.json"):
        path = ask.folder(1) / name
        value = json.loads(path.read_text()) | {"boot_id": "another"}
        path.write_text(json.dumps(value))

    assert ask("inspect", id=new_id(1))["ok"]["alive"] is False
    assert ask("destroy", id=new_id(1)) == {"ok": {}}
    assert traces(ask) == []


def test_a_door_opens_only_where_one_was_asked_for(ask):
    """A listening socket comes for a door of the specification; the agent reaches it, and nobody else does."""
    ask.create(1)

    assert ask("listen", id=new_id(1), port=443)["error"] == "bad_request"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(ask.running.socket))
        client.sendall(json.dumps({"op": "listen", "id": new_id(1), "port": 80}).encode())
        _, [descriptor], _, _ = socket.recv_fds(client, 1 << 16, 1)
        with socket.socket(fileno=descriptor) as door:
            assert door.getsockname() == ("127.0.0.1", 80)
            assert ask("listen", id=new_id(1), port=80)["error"] == "door_taken"
            with socket.create_server(("127.0.0.1", 0)) as outside:
                # The keeper's own threads stayed in the host's network.
                assert outside.getsockname()[0] == "127.0.0.1"
    assert "ok" in ask("listen", id=new_id(1), port=80)


def test_leftovers_are_named_and_swept(ask):
    """What belongs to no intent is found by its traces, removed, and living sandboxes are left alone."""
    ask.create(1)
    ask.create(2)
    pid = ask.process(1)
    (ask.folder(1) / "intent.json").unlink()

    named = ask("leftovers")["items"]
    assert {word.split()[0] for word in named} == {"mount", "control", "runtime", "disk", "folder"}
    assert all(new_id(1) in word for word in named)
    assert ask("sweep")["items"] == named
    assert ask("leftovers")["items"] == []
    assert not Path(f"/proc/{pid}").exists()
    assert ask("inspect", id=new_id(2))["ok"]["alive"] is True


def test_a_lost_folder_does_not_hide_a_sandbox(ask):
    """Even without its folder, a sandbox is found by mount and control group, ended and removed."""
    ask.create(1)
    pid = ask.process(1)
    subprocess.run(["umount", ask.folder(1) / "gate/root", ask.folder(1) / "disk"], check=False)
    for path in (ask.folder(1), ask.running.run_dir / "runc" / new_id(1)):
        shutil.rmtree(path, ignore_errors=True)

    assert any(word.startswith("control group") for word in ask("leftovers")["items"])
    ask("sweep")
    assert not Path(f"/proc/{pid}").exists()
    assert ask("leftovers")["items"] == []
    assert traces(ask) == []


def test_layers_lie_over_each_other(ask):
    """The later layer hides the earlier one's files; the agent's folders are made only where none is brought."""
    bottom, top = ask.running.store_dir / "layers" / ("a" * 64), ask.running.store_dir / "layers" / ("b" * 64)
    for layer, files in ((bottom, {"one": "bottom", "two": "bottom"}), (top, {"two": "top"})):
        (layer / "app").mkdir(parents=True)
        layer.chmod(0o755)
        for name, text in files.items():
            (layer / "app" / name).write_text(text)
    ask.create(1, layers=["a" * 64, "b" * 64])

    root = ask.folder(1) / "gate/root"
    assert {path.name: path.read_text() for path in (root / "app").iterdir()} == {"one": "bottom", "two": "top"}
    assert (root / "opt/env").stat().st_uid % 65536 == 1000
    assert ask("drop_layer", layer="a" * 64)["error"] == "layer_in_use"
    ask("destroy", id=new_id(1))
    for layer in ("a" * 64, "b" * 64, "c" * 64):
        assert ask("drop_layer", layer=layer) == {"ok": {}}
    assert ask("layers")["items"] == []


def test_what_is_left_of_a_disk_is_told(ask):
    """What the agent can still write is told, without what is kept back for the supervisor; a lost disk has no size."""
    ask.create(1)
    fresh = ask("inspect", id=new_id(1))["ok"]
    assert 24 << 20 < fresh["disk_left_bytes"] <= 32 << 20
    assert fresh["disk_left_files"] > 900

    with suppress(OSError):
        (ask.folder(1) / "disk/up/filler").write_bytes(bytes(64 << 20))
    assert ask("inspect", id=new_id(1))["ok"]["disk_left_bytes"] == 0

    ask("kill", id=new_id(1))
    subprocess.run(["umount", "-l", ask.folder(1) / "disk"], check=True)
    lost = ask("inspect", id=new_id(1))["ok"]
    assert (lost["disk_left_bytes"], lost["disk_left_files"]) == (None, None)


def test_disks_in_memory_where_there_is_no_loop_device(able):
    """Without images the disk is a small memory file system, the spool another, and that is said."""
    with start_keeper("--disk", "tmpfs") as keeper:
        ask = Asker(keeper)
        assert ask("hello")["ok"]["disk_limit"] == "tmpfs"
        assert "held in memory" in keeper.log
        ask.create(1, disk_bytes=1 << 30)
        size = os.statvfs(ask.folder(1) / "disk")
        assert 0 < ask("inspect", id=new_id(1))["ok"]["disk_left_bytes"] <= 64 << 20
        assert size.f_frsize * size.f_blocks == 64 << 20
        assert os.path.ismount(ask.folder(1) / "spool")
        ask("destroy", id=new_id(1))
        assert traces(ask) == []


def test_nobody_but_the_keeper_comes_to_the_layers(ask):
    """Files of a writable layer may be written by everybody, so no other user of the machine gets to them."""
    ask.create(40)

    assert stat.S_IMODE((ask.running.store_dir / "layers").stat().st_mode) == 0o700
