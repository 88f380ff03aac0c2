"""The wall, seen from the host: read from /proc and compared with what was asked for."""

import copy
import json
import subprocess
from pathlib import Path

import pytest

from skep.product.sandboxes.model import Limits
from skep.testing.isolation import weaknesses
from skep.testing.wait import until_sync

pytestmark = pytest.mark.root

LIMITS = Limits(cpus=1, memory_bytes=128 << 20, disk_bytes=32 << 20, pids=48, open_files=512, output_bytes=1 << 20)


def test_a_sandbox_is_as_strong_as_asked_for(ask):
    """Capabilities, seccomp, ids, namespaces, mounts, network and limits are the specification's."""
    ask.create(1)
    ask.ready(1)

    assert weaknesses(ask.process(1), LIMITS) == []


def test_two_sandboxes_share_nothing(ask):
    """Neither host ids nor namespaces."""
    ask.create(1)
    ask.create(2)
    first, second = ask.process(1), ask.process(2)

    for name in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        assert Path(f"/proc/{first}/ns/{name}").readlink() != Path(f"/proc/{second}/ns/{name}").readlink()
    maps = {Path(f"/proc/{pid}/uid_map").read_text() for pid in (first, second)}
    assert len(maps) == 2


def _namespaces_without(kind):
    def change(config):
        config["linux"]["namespaces"] = [item for item in config["linux"]["namespaces"] if item["type"] != kind]

    return change


def _no_user_namespace(config):
    _namespaces_without("user")(config)
    del config["linux"]["uidMappings"], config["linux"]["gidMappings"]
    config["mounts"] = [item for item in config["mounts"] if item["destination"] != "/dev/pts"]


def _no_seccomp(config):
    del config["linux"]["seccomp"]


def _new_privileges(config):
    config["process"]["noNewPrivileges"] = False


def _more_capabilities(config):
    for names in config["process"]["capabilities"].values():
        names.append("CAP_SYS_ADMIN")


def _root(config):
    config["process"]["user"] = {"uid": 0, "gid": 0}


def _other_range(config):
    config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 268435456, "size": 131072}]


def _visible_processes(config):
    config["mounts"][0]["options"].remove("hidepid=2")


def _writable_usr(config):
    [usr] = [item for item in config["mounts"] if item["destination"] == "/usr"]
    usr["options"].remove("ro")


def _host_folder(config):
    config["mounts"].append({"destination": "/mnt", "type": "bind", "source": "/srv", "options": ["bind"]})


def _resources(name, value):
    def change(config):
        config["linux"]["resources"][name] = value

    return change


def _no_rlimits(config):
    config["process"]["rlimits"] = []


def _writable_sysctl(config):
    config["linux"]["readonlyPaths"] = []


WEAKENINGS = {
    "seccomp": (_no_seccomp, "Seccomp 0"),
    "new privileges": (_new_privileges, "NoNewPrivs 0"),
    "capabilities": (_more_capabilities, "CapEff"),
    "root": (_root, "process 1 is of user"),
    "range": (_other_range, "uid_map"),
    "user": (_no_user_namespace, "user namespace is the host's"),
    "network": (_namespaces_without("network"), "net namespace is the host's"),
    "ipc": (_namespaces_without("ipc"), "ipc namespace is the host's"),
    "cgroup": (_namespaces_without("cgroup"), "cgroup namespace is the host's"),
    "hidepid": (_visible_processes, "/proc lacks"),
    "usr": (_writable_usr, "/usr lacks"),
    "host folder": (_host_folder, "/mnt is mounted"),
    "sysctl": (_writable_sysctl, "/proc/sys lacks"),
    "memory": (_resources("memory", {"limit": 512 << 20}), "memory limit"),
    "pids": (_resources("pids", {"limit": 4096}), "pids limit"),
    "cpu": (_resources("cpu", {"quota": 200_000, "period": 100_000}), "cpu quota"),
    "rlimits": (_no_rlimits, "Max processes"),
}


@pytest.mark.parametrize("name", WEAKENINGS)
def test_each_weakening_is_seen(ask, name, tmp_path):
    """The look from the host finds any single stone that is taken out of the wall."""
    ask.create(1)
    change, expected = WEAKENINGS[name]
    config = json.loads((ask.folder(1) / "config.json").read_text())
    (ask.folder(1) / "gate/root" / "mnt").mkdir()
    with Weakened(config, change, tmp_path) as pid:
        found = weaknesses(pid, LIMITS)

    assert [words for words in found if expected in words], found


class Weakened:
    """A container from a changed bundle, on the root file system of a sandbox."""

    def __init__(self, config, change, folder):
        self.folder = folder
        self.config = copy.deepcopy(config)
        self.config["process"]["args"] = ["/usr/bin/sleep", "1000"]
        self.config["linux"]["cgroupsPath"] += "-weak"
        change(self.config)
        self.argv = ["runc", "--root", str(folder / "state")]

    def __enter__(self):
        (self.folder / "config.json").write_text(json.dumps(self.config))
        pid_file = self.folder / "pid"
        with (self.folder / "err").open("wb") as err:
            done = subprocess.run(
                [*self.argv, "run", "-d", "--pid-file", str(pid_file), "-b", str(self.folder), "weak"],
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
                check=False,
            )
        assert done.returncode == 0, (self.folder / "err").read_text()
        return int(pid_file.read_text())

    def __exit__(self, *_):
        subprocess.run([*self.argv, "kill", "weak", "KILL"], check=True)
        delete = [*self.argv, "delete", "weak"]
        until_sync(lambda: subprocess.run(delete, capture_output=True, check=False).returncode == 0)
