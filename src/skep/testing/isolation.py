"""Looks at a living sandbox from the host, in /proc and the control groups only, and names what is weaker than asked.

It shares no code with what makes sandboxes, so that a fault there does not hide itself.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from skep.product.sandboxes.model import Limits

_SUPERVISOR = 900
_AGENT = 1000
_RANGE = 65536
_SETUID_SETGID = 0xC0
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
#: Each mount that has to be there, and the options that it must have.
_MOUNTS = {
    "/": {"nosuid", "nodev"},
    "/proc": {"nosuid", "nodev", "noexec", "hidepid=invisible"},
    "/dev": {"nosuid"},
    "/dev/pts": {"nosuid", "noexec"},
    "/dev/shm": {"nosuid", "nodev", "noexec"},  # noqa: S108  a path inside the sandbox
    "/usr": {"ro", "nosuid", "nodev"},
    "/opt/skep/bin/uv": {"ro", "nosuid", "nodev"},
    "/opt/skep/spool": {"nosuid", "nodev", "noexec"},
    "/run/secrets": {"nosuid", "nodev", "noexec"},
    "/proc/bus": {"ro"},
    "/proc/fs": {"ro"},
    "/proc/irq": {"ro"},
    "/proc/sys": {"ro"},
    "/proc/sysrq-trigger": {"ro"},
}
#: What else may be mounted: the runtime's device files, and what covers files of /proc.
_ALSO = {f"/dev/{name}" for name in ("null", "zero", "full", "tty", "random", "urandom", "console", "mqueue")}


def weaknesses(pid: int, limits: Limits) -> list[str]:
    """Name each thing about the sandbox of process 1 *pid* (a host id) that is weaker than it has to be."""
    return [
        *_process(pid),
        *_ids(pid),
        *_namespaces(pid),
        *_mounts(pid),
        *_network(pid),
        *_limits(pid, limits),
        *_groups(pid, limits),
        *(weak for member in members(pid) if member != pid for weak in _agent(member)),
    ]


def members(pid: int) -> list[int]:
    """List all processes in the pid namespace of *pid*, as the host numbers them."""
    wanted = _link(pid, "pid")
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _link(int(path.name), "pid") == wanted]


def status(pid: int) -> dict[str, str]:
    """Return the fields of a process's status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _process(pid: int) -> Iterator[str]:
    found = status(pid)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        if int(found[name], 16) & ~_SETUID_SETGID:
            yield f"process 1 has {name} {found[name]}"
    if int(found["CapAmb"], 16):
        yield f"process 1 has CapAmb {found['CapAmb']}"
    yield from _confined(pid, found)


def _agent(pid: int) -> Iterator[str]:
    found = status(pid)
    if int(found["Uid"].split()[0]) % _RANGE == _SUPERVISOR:
        return
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        if int(found[name], 16):
            yield f"process {pid} has {name} {found[name]}"
    if int(found["Uid"].split()[0]) % _RANGE not in (0, _AGENT):
        yield f"process {pid} is of user {found['Uid']}"
    yield from _confined(pid, found)


def _confined(pid: int, found: dict[str, str]) -> Iterator[str]:
    if found["NoNewPrivs"] != "1":
        yield f"process {pid} has NoNewPrivs {found['NoNewPrivs']}"
    if found["Seccomp"] != "2":
        yield f"process {pid} has Seccomp {found['Seccomp']}"


def _ids(pid: int) -> Iterator[str]:
    for name in ("uid_map", "gid_map"):
        lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
        inside, outside, size = (int(word) for word in lines[0].split())
        if len(lines) != 1 or inside != 0 or size != _RANGE or outside < _RANGE or outside % _RANGE:
            yield f"{name} is {lines}"
    if int(status(pid)["Uid"].split()[0]) % _RANGE != _SUPERVISOR:
        yield f"process 1 is of user {status(pid)['Uid']}"


def _namespaces(pid: int) -> Iterator[str]:
    for name in _NAMESPACES:
        if _link(pid, name) == _link(os.getpid(), name):
            yield f"the {name} namespace is the host's"


def _link(pid: int, name: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/{name}").readlink())
    except OSError:
        return ""


def _mounts(pid: int) -> Iterator[str]:
    found: dict[str, set[str]] = {}
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        found[head.split()[4]] = {*head.split()[5].split(","), *tail.split()[2].split(",")}
    for target, options in _MOUNTS.items():
        if target.startswith("/proc/") and not Path(target).exists():
            continue  # what the kernel does not have (not all have /proc/sysrq-trigger) needs no cover
        if missing := options - found.get(target, set()):
            yield f"the mount {target} lacks {sorted(missing)}"
    for target in found:
        if target not in _MOUNTS and target not in _ALSO and not target.startswith(("/proc/", "/usr/")):
            yield f"{target} is mounted"


def _network(pid: int) -> Iterator[str]:
    devices = [line.split(":")[0].strip() for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]]
    if devices != ["lo"]:
        yield f"the network has {devices}"


def _limits(pid: int, limits: Limits) -> Iterator[str]:
    found = {line[:26].strip(): line[26:].split() for line in Path(f"/proc/{pid}/limits").read_text().splitlines()}
    for name, most in (("Max processes", limits.pids - 1), ("Max open files", limits.open_files)):
        if not found[name][1].isdecimal() or int(found[name][1]) > most:
            yield f"{name} is {found[name][1]}"
    if found["Max core file size"][1] != "0":
        yield "core files are written"


def _groups(pid: int, limits: Limits) -> Iterator[str]:
    quota, period = _cpu(pid)
    if quota <= 0 or quota / period > limits.cpus + 0.01:
        yield f"the cpu quota is {quota}/{period}"
    memory = _group_file(pid, "memory", "memory.limit_in_bytes", "memory.max")
    if not memory.isdecimal() or int(memory) > limits.memory_bytes:
        yield f"the memory limit is {memory}"
    pids = _group_file(pid, "pids", "pids.max", "pids.max")
    if not pids.isdecimal() or int(pids) > limits.pids:
        yield f"the pids limit is {pids}"


def _cpu(pid: int) -> tuple[int, int]:
    both = _group_file(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()
    if len(both) == 2:
        return (0 if both[0] == "max" else int(both[0])), int(both[1])
    return int(both[0]), int(_group_file(pid, "cpu", "cpu.cfs_period_us", "cpu.max"))


def _group_file(pid: int, controller: str, v1: str, v2: str) -> str:
    """Read a control group's file, wherever that tree is mounted."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return _read_below(f"cgroup {controller}", f"{path}/{v1}")
    path = Path(f"/proc/{pid}/cgroup").read_text().rpartition("0::")[2].strip()
    return _read_below("cgroup2", f"{path}/{v2}")


def _read_below(tree: str, path: str) -> str:
    kind, _, controller = tree.partition(" ")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        if tail.split()[0] == kind and (not controller or controller in tail.split()[2].split(",")):
            return Path(head.split()[4] + path).read_text().strip()
    return ""
