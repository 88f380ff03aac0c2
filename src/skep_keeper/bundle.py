"""The OCI configuration of a sandbox, as a value. Pure: nothing is read, written or asked."""

import json
from dataclasses import dataclass
from typing import Any, Final

from skep_keeper import seccomp
from skep_keeper.cgroups import Usage
from skep_keeper.vocabulary import Spec

#: How many host ids a sandbox has; ids inside are 0 to RANGE_SIZE - 1.
RANGE_SIZE: Final = 65536
SUPERVISOR_ID: Final = 900
AGENT_ID: Final = 1000

PYTHON: Final = "/usr/bin/python3"
SUPERVISOR: Final = "/opt/skep/supervisor"
SPOOL: Final = "/opt/skep/spool"
#: What agents may import and call.
GUEST: Final = "/opt/skep/lib"
ASK: Final = "/opt/skep/bin/skep-ask"
UV: Final = "/opt/skep/bin/uv"

_SHM: Final = "/dev/shm"  # noqa: S108  a path inside the sandbox
_MIB: Final = 1 << 20
_PERIOD_US: Final = 100_000
#: Process 1 changes users and does nothing else with privilege; it clears its ambient set first of all.
_CAPABILITIES: Final = ("CAP_SETUID", "CAP_SETGID")
_CAPABILITY_SETS: Final = ("bounding", "effective", "permitted", "inheritable", "ambient")
_MASKED: Final = (
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
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a sandbox stands on: the host's part of its configuration."""

    #: First of its `RANGE_SIZE` host user and group ids.
    first_id: int
    root: str
    spool: str
    uv: str
    cgroup: str
    machine: str
    #: True if something is mounted below the host's /usr, which has to come along.
    usr_has_mounts: bool = False
    #: Limits that the machine's control groups can hold.
    memory: bool = True
    swap: bool = True
    pids: bool = True
    cpus: bool = True


def config(spec: Spec, ground: Ground) -> dict[str, Any]:
    """Return the whole `config.json`."""
    return {
        "ociVersion": "1.0.2",
        "hostname": "sandbox",
        "root": {"path": ground.root, "readonly": False},
        "process": _process(spec),
        "mounts": _mounts(spec, ground),
        "linux": _linux(spec, ground),
    }


def nproc(pids: int) -> int:
    """Return how many processes one user may have, so that the supervisor can still fork among a fork bomb."""
    return max(pids - 10, pids // 2)


def pids_reached(pids: int, usage: Usage) -> bool:
    """Tell whether the agent has had all processes that one user may have.

    Nobody counts how often `RLIMIT_NPROC` refuses one, but beside the supervisor there is nobody else in the group.
    """
    return usage.pids_refused > 0 or usage.pids_peak > nproc(pids)


def shm_bytes(memory_bytes: int) -> int:
    """Return the size of /dev/shm: what lies in it counts as memory and no kill frees it."""
    return min(memory_bytes // 8, 64 * _MIB)


def _process(spec: Spec) -> dict[str, Any]:
    task = {
        "sandbox": spec.id,
        "spool": SPOOL,
        "uid": AGENT_ID,
        "gid": AGENT_ID,
        "output_bytes": spec.output_bytes,
    }
    capabilities = list(_CAPABILITIES)
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": max(spec.disk_bytes, 2 * spec.output_bytes),
        "RLIMIT_NOFILE": spec.open_files,
        "RLIMIT_NPROC": nproc(spec.pids),
    }
    return {
        "terminal": False,
        "user": {"uid": SUPERVISOR_ID, "gid": SUPERVISOR_ID, "umask": 0o077},
        "args": [PYTHON, "-I", "-S", "-E", f"{SUPERVISOR}/__main__.py", json.dumps(task, separators=(",", ":"))],
        "env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"],
        "cwd": "/",
        "noNewPrivileges": True,
        "capabilities": dict.fromkeys(_CAPABILITY_SETS, capabilities),
        "rlimits": [{"type": name, "hard": value, "soft": value} for name, value in limits.items()],
    }


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _mounts(spec: Spec, ground: Ground) -> list[dict[str, Any]]:
    usr = ("rbind", "ro", "rro", "nosuid", "rnosuid", "nodev", "rnodev") if ground.usr_has_mounts else ("bind", "ro")
    private = ("nosuid", "nodev", "noexec")
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev", "hidepid=2"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=1m"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount(_SHM, "tmpfs", "shm", *private, "mode=1777", f"size={shm_bytes(spec.memory_bytes)}"),
        _mount("/usr", "bind", "/usr", *dict.fromkeys((*usr, "nosuid", "nodev"))),
        _mount(UV, "bind", ground.uv, "bind", "ro", "nosuid", "nodev"),
        _mount(SPOOL, "bind", ground.spool, "bind", "rw", *private),
        # In memory: secrets never touch a disk.
        _mount(
            "/run/secrets", "tmpfs", "secrets", *private, "mode=0700", f"uid={AGENT_ID}", f"gid={AGENT_ID}", "size=1m"
        ),
    ]


def _linux(spec: Spec, ground: Ground) -> dict[str, Any]:
    ids = [{"containerID": 0, "hostID": ground.first_id, "size": RANGE_SIZE}]
    return {
        "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network", "user", "cgroup")],
        "uidMappings": ids,
        "gidMappings": ids,
        "cgroupsPath": ground.cgroup,
        "resources": _resources(spec, ground),
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READ_ONLY),
        "seccomp": seccomp.profile(ground.machine),
    }


def _resources(spec: Spec, ground: Ground) -> dict[str, Any]:
    found: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    if ground.memory:
        found["memory"] = {"limit": spec.memory_bytes}
        if ground.swap:
            found["memory"]["swap"] = spec.memory_bytes
    if ground.pids:
        found["pids"] = {"limit": spec.pids}
    if ground.cpus:
        found["cpu"] = {"quota": max(round(spec.cpus * _PERIOD_US), 1000), "period": _PERIOD_US}
    return found
