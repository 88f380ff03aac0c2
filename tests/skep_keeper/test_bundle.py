"""The OCI configuration is a value, compared whole."""

import dataclasses

from skep_keeper import bundle, seccomp
from skep_keeper.cgroups import Usage
from skep_keeper.vocabulary import Spec

SPEC = Spec(
    id="sbx_" + "0" * 26,
    cpus=1.5,
    memory_bytes=256 << 20,
    disk_bytes=64 << 20,
    pids=64,
    open_files=1024,
    output_bytes=1 << 20,
    layers=(),
    doors=(80,),
)
GROUND = bundle.Ground(
    first_id=268435456,
    root="/run/skep/x/s/1/root",
    spool="/run/skep/x/s/1/disk/spool",
    uv="/usr/local/bin/uv",
    cgroup="/skep/x/1",
    machine="x86_64",
)
TASK = (
    '{"sandbox":"sbx_00000000000000000000000000","spool":"/opt/skep/spool","uid":1000,"gid":1000,'
    '"output_bytes":1048576}'
)
CAPABILITIES = ["CAP_SETUID", "CAP_SETGID"]


def test_the_whole_configuration():
    """Every part of the wall stands here; a change of any of them has to be made here, too."""
    assert bundle.config(SPEC, GROUND) == {
        "ociVersion": "1.0.2",
        "hostname": "sandbox",
        "root": {"path": "/run/skep/x/s/1/root", "readonly": False},
        "process": {
            "terminal": False,
            "user": {"uid": 900, "gid": 900, "umask": 0o077},
            "args": [
                "/usr/bin/python3",
                "-I",
                "-S",
                "-E",
                "/opt/skep/supervisor/__main__.py",
                TASK,
            ],
            "env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
                "inheritable": CAPABILITIES,
                "ambient": CAPABILITIES,
            },
            "rlimits": [
                {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
                {"type": "RLIMIT_FSIZE", "hard": 64 << 20, "soft": 64 << 20},
                {"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024},
                {"type": "RLIMIT_NPROC", "hard": 54, "soft": 54},
            ],
        },
        "mounts": [
            mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev", "hidepid=2"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=1m"),
            mount(
                *("/dev/pts", "devpts", "devpts", "nosuid", "noexec"),
                *("newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
            ),
            mount("/dev/shm", "tmpfs", "shm", "nosuid", "nodev", "noexec", "mode=1777", "size=33554432"),
            mount("/usr", "bind", "/usr", "bind", "ro", "nosuid", "nodev"),
            mount("/opt/skep/bin/uv", "bind", "/usr/local/bin/uv", "bind", "ro", "nosuid", "nodev"),
            mount(
                *("/opt/skep/spool", "bind", "/run/skep/x/s/1/disk/spool"),
                *("bind", "rw", "nosuid", "nodev", "noexec"),
            ),
            mount(
                *("/run/secrets", "tmpfs", "secrets", "nosuid", "nodev", "noexec"),
                *("mode=0700", "uid=1000", "gid=1000", "size=1m"),
            ),
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network", "user", "cgroup")],
            "uidMappings": [{"containerID": 0, "hostID": 268435456, "size": 65536}],
            "gidMappings": [{"containerID": 0, "hostID": 268435456, "size": 65536}],
            "cgroupsPath": "/skep/x/1",
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}],
                "memory": {"limit": 256 << 20, "swap": 256 << 20},
                "pids": {"limit": 64},
                "cpu": {"quota": 150_000, "period": 100_000},
            },
            "maskedPaths": [
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/sys/firmware",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "seccomp": seccomp.profile("x86_64"),
        },
    }


def mount(destination, kind, source, *options):
    """Spell one mount."""
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def test_limits_that_the_machine_cannot_hold_are_left_out():
    """A missing control group makes no start fail; that it is missing is said elsewhere."""
    ground = dataclasses.replace(GROUND, memory=False, pids=False, cpus=False)

    assert bundle.config(SPEC, ground)["linux"]["resources"] == {"devices": [{"allow": False, "access": "rwm"}]}


def test_swap_is_only_limited_where_it_is_counted():
    """Without a counter of memory and swap the memory limit stands alone."""
    resources = bundle.config(SPEC, dataclasses.replace(GROUND, swap=False))["linux"]["resources"]

    assert resources["memory"] == {"limit": 256 << 20}


def test_mounts_below_usr_come_along_read_only():
    """What the host has mounted below /usr is read-only in a sandbox, too."""
    mounts = bundle.config(SPEC, dataclasses.replace(GROUND, usr_has_mounts=True))["mounts"]

    [usr] = [item for item in mounts if item["destination"] == "/usr"]
    assert usr["options"] == ["rbind", "ro", "rro", "nosuid", "rnosuid", "nodev", "rnodev"]


def test_memory_file_systems_take_little_of_the_memory():
    """The sum of what lies in memory stays below a quarter of the limit."""
    for megabytes in (32, 64, 512, 1 << 20):
        memory = megabytes << 20
        assert bundle.shm_bytes(memory) + (2 << 20) <= memory // 4
        assert bundle.shm_bytes(memory) <= 64 << 20


def test_the_supervisor_can_always_fork():
    """One user's processes never use up the sandbox's."""
    for pids in (16, 20, 64, 4096):
        assert 0 < bundle.nproc(pids) < pids


def test_when_the_agent_has_had_all_its_processes():
    """All of one user's beside the supervisor, or a refusal by the group itself; not where nothing is counted."""
    assert bundle.nproc(64) == 54
    assert not bundle.pids_reached(64, Usage(pids_peak=54))
    assert bundle.pids_reached(64, Usage(pids_peak=55))
    assert bundle.pids_reached(64, Usage(pids_refused=1))
    assert not bundle.pids_reached(64, Usage())
