"""Control groups of both versions are read alike."""

import pytest

from skep_keeper.cgroups import Cgroups, Hierarchy, Usage, hierarchies
from skep_keeper.mounts import below, lower_folders, parse

MOUNTINFO = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 22 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 22 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 22 0:28 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,name=systemd
40 22 0:40 / /run/a\040b/s/1/root rw - overlay overlay rw,lowerdir=/run/layers/x:/run/base/1,upperdir=/u,workdir=/w
41 22 0:41 / /run/a\040b/s/1/disk rw - ext4 /dev/loop0 rw
42 40 0:42 / /run/a\040b/s/1/root/proc rw - proc proc rw
"""


@pytest.fixture
def v1(tmp_path):
    """Version 1: a tree per controller."""
    trees = [
        Hierarchy(str(tmp_path / name), 1, frozenset(controllers))
        for name, controllers in (("memory", ["memory"]), ("cpu", ["cpu", "cpuacct"]), ("pids", ["pids"]))
    ]
    for tree in trees:
        (tmp_path / tree.path / "skep/i/one").mkdir(parents=True)
    (tmp_path / "memory/memory.memsw.limit_in_bytes").touch()
    one = "skep/i/one"
    (tmp_path / "memory" / one / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (tmp_path / "memory" / one / "memory.usage_in_bytes").write_text("1000\n")
    (tmp_path / "memory" / one / "memory.max_usage_in_bytes").write_text("2000\n")
    (tmp_path / "cpu" / one / "cpuacct.usage").write_text("1500000000\n")
    (tmp_path / "pids" / one / "pids.current").write_text("4\n")
    (tmp_path / "pids" / one / "pids.peak").write_text("6\n")
    (tmp_path / "pids" / one / "pids.events").write_text("max 7\n")
    return Cgroups("/skep/i", tuple(trees))


@pytest.fixture
def v2(tmp_path):
    """Version 2: one tree."""
    one = tmp_path / "skep/i/one"
    one.mkdir(parents=True)
    (one / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n")
    (one / "memory.current").write_text("1000\n")
    (one / "memory.peak").write_text("2000\n")
    (one / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\n")
    (one / "pids.current").write_text("4\n")
    (one / "pids.peak").write_text("6\n")
    (one / "pids.events").write_text("max 7\n")
    return Cgroups("/skep/i", (Hierarchy(str(tmp_path), 2, frozenset({"memory", "cpu", "pids"})),))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_usage_is_the_same_in_both_versions(version, request):
    """The counters have other names and units, and mean the same."""
    groups = request.getfixturevalue(version)

    assert groups.usage("one") == Usage(
        oom_kills=3, memory_bytes=1000, memory_peak_bytes=2000, cpu_seconds=1.5, pids=4, pids_peak=6, pids_refused=7
    )
    assert groups.usage("none") == Usage()
    assert groups.names() == {"one"}
    assert groups.enforceable() == {"memory": True, "pids": True, "cpu": True, "swap": True}


def test_what_is_missing_is_not_enforced(tmp_path):
    """A machine without a controller says so."""
    groups = Cgroups("/skep/i", (Hierarchy(str(tmp_path), 1, frozenset({"cpu"})),))

    assert groups.enforceable() == {"memory": False, "pids": False, "cpu": True, "swap": False}


def test_trees_are_found_among_the_mounts():
    """A named tree without controllers is a tree, too: processes are in it."""
    found = [(tree.path, tree.version, sorted(tree.controllers)) for tree in hierarchies(parse(MOUNTINFO))]

    assert found == [
        ("/sys/fs/cgroup/memory", 1, ["memory"]),
        ("/sys/fs/cgroup/cpu", 1, ["cpu", "cpuacct"]),
        ("/sys/fs/cgroup/systemd", 1, []),
    ]


def test_mounts_below_a_folder_come_deepest_first():
    """The order in which they can be unmounted."""
    targets = [mount.target for mount in below("/run/a b/s", parse(MOUNTINFO))]

    assert targets == ["/run/a b/s/1/root/proc", "/run/a b/s/1/disk", "/run/a b/s/1/root"]


def test_folders_that_overlays_stand_on_are_known():
    """A base that is in use is not removed."""
    assert lower_folders(parse(MOUNTINFO), "/run/base") == {"/run/base/1"}
