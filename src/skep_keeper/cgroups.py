"""Control groups, version 1, 2 and both at once: what they can enforce, what they count, and how they are emptied.

The runtime makes the groups and writes the limits; here they are read, emptied and removed.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass

from skep_keeper import files, processes
from skep_keeper.errors import KeeperError
from skep_keeper.mounts import Mount, current

_V1_CONTROLLERS = frozenset(
    ("memory", "pids", "cpu", "cpuacct", "cpuset", "freezer", "devices", "blkio", "net_cls", "net_prio", "perf_event")
)


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree of control groups."""

    path: str
    version: int
    controllers: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the kernel has counted for a sandbox."""

    oom_kills: int = 0
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    cpu_seconds: float = 0.0
    pids: int = 0
    #: The most processes and threads that there were at once; 0 where the kernel does not keep it (before 6.1).
    pids_peak: int = 0
    #: How often the group's own limit refused another one.
    pids_refused: int = 0


def hierarchies(mounts: list[Mount]) -> tuple[Hierarchy, ...]:
    """Find the trees among the machine's mounts."""
    found: dict[str, Hierarchy] = {}
    for mount in mounts:
        if mount.kind == "cgroup2":
            controllers = frozenset(files.read_text(f"{mount.target}/cgroup.controllers").split())
            found[mount.target] = Hierarchy(mount.target, 2, controllers)
        elif mount.kind == "cgroup":
            found[mount.target] = Hierarchy(mount.target, 1, _V1_CONTROLLERS & set(mount.options.split(",")))
    return tuple(found.values())


class Cgroups:
    """The groups `<parent>/<sandbox id>` in every tree."""

    def __init__(self, parent: str, trees: tuple[Hierarchy, ...] | None = None) -> None:
        self._parent = parent
        self._trees = hierarchies(current()) if trees is None else trees

    def enforceable(self) -> dict[str, bool]:
        """Tell which limits the kernel can hold here: a controller that is there and may be written to."""
        usable = {name: self._usable(name) for name in ("memory", "pids", "cpu")}
        tree = self._tree("memory")
        swap = usable["memory"] and tree is not None
        if swap and tree is not None and tree.version == 1:
            swap = os.path.exists(f"{tree.path}/memory.memsw.limit_in_bytes")
        return {**usable, "swap": swap}

    def usage(self, name: str) -> Usage:
        """Read the counters of one sandbox; zeros for what is not counted here."""
        return Usage(
            oom_kills=self._counted(name, "memory", "memory.oom_control", "memory.events", "oom_kill"),
            memory_bytes=self._number(name, "memory", "memory.usage_in_bytes", "memory.current"),
            memory_peak_bytes=self._number(name, "memory", "memory.max_usage_in_bytes", "memory.peak"),
            cpu_seconds=self._cpu_seconds(name),
            pids=self._number(name, "pids", "pids.current", "pids.current"),
            pids_peak=self._number(name, "pids", "pids.peak", "pids.peak"),
            pids_refused=self._counted(name, "pids", "pids.events", "pids.events", "max"),
        )

    def names(self) -> set[str]:
        """List the sandboxes that have a group in any tree."""
        return {
            name
            for tree in self._trees
            for name in files.names(tree.path + self._parent)
            if os.path.isdir(f"{tree.path}{self._parent}/{name}")
        }

    def processes(self, name: str) -> set[int]:
        """List the processes in any group of one sandbox."""
        found: set[int] = set()
        for folder in self._folders(name):
            with contextlib.suppress(OSError):
                found.update(int(line) for line in files.read_text(f"{folder}/cgroup.procs").split())
        return found - {0}

    def kill(self, name: str, *, spare: int | None = None, timeout_s: float = 10.0) -> None:
        """End every process of a sandbox but *spare*, and wait until none is left.

        Raises:
            KeeperError: some did not end in time.
        """
        self._thaw(name)
        deadline = time.monotonic() + timeout_s
        ended: set[int] = set()
        while left := [pid for pid in self.processes(name) if pid != spare and processes.is_running(pid)]:
            for pid in left:
                self._kill_member(name, pid)
                ended.add(pid)
            if time.monotonic() > deadline:
                raise KeeperError("internal", f"processes of {name} do not end: {left[:5]}")
            time.sleep(0.002)
        for pid in ended:
            processes.reap(pid)

    def remove(self, name: str) -> None:
        """Remove the empty groups of one sandbox from every tree.

        Raises:
            KeeperError: one is still in use.
        """
        for folder in self._folders(name):
            _remove_tree(folder)

    def remove_parent(self) -> None:
        """Remove the group above the sandboxes' where it is empty."""
        for tree in self._trees:
            with contextlib.suppress(OSError):
                os.rmdir(tree.path + self._parent)

    def _folders(self, name: str) -> list[str]:
        folders = [f"{tree.path}{self._parent}/{name}" for tree in self._trees]
        return [folder for folder in folders if os.path.isdir(folder)]

    def _tree(self, controller: str) -> Hierarchy | None:
        return next((tree for tree in self._trees if controller in tree.controllers), None)

    def _usable(self, controller: str) -> bool:
        tree = self._tree(controller)
        if tree is None:
            return False
        try:
            os.makedirs(tree.path + self._parent, exist_ok=True)
        except OSError:
            return False
        return os.access(tree.path + self._parent, os.W_OK)

    def _file(self, name: str, controller: str, v1: str, v2: str) -> str | None:
        tree = self._tree(controller)
        if tree is None:
            return None
        return f"{tree.path}{self._parent}/{name}/{v1 if tree.version == 1 else v2}"

    def _number(self, name: str, controller: str, v1: str, v2: str) -> int:
        path = self._file(name, controller, v1, v2)
        return files.read_number(path) if path else 0

    def _counted(self, name: str, controller: str, v1: str, v2: str, key: str) -> int:
        path = self._file(name, controller, v1, v2)
        return _keyed(files.read_text(path), key) if path else 0

    def _cpu_seconds(self, name: str) -> float:
        tree = self._tree("cpuacct")
        if tree is not None:
            return files.read_number(f"{tree.path}{self._parent}/{name}/cpuacct.usage") / 1e9
        path = self._file(name, "cpu", "", "cpu.stat")
        return _keyed(files.read_text(path), "usage_usec") / 1e6 if path else 0.0

    def _thaw(self, name: str) -> None:
        for path, word in (
            (self._file(name, "freezer", "freezer.state", "freezer.state"), "THAWED"),
            (self._file(name, "memory", "", "cgroup.freeze"), "0"),
        ):
            if path and os.path.isfile(path):
                with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
                    file.write(word)

    def _kill_member(self, name: str, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError, OSError):
            descriptor = os.pidfd_open(pid)
            try:
                # Looked up again: between the two the id may have passed to a process outside.
                if pid in self.processes(name):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)


def _keyed(text: str, key: str) -> int:
    """Read one number of a `key value` file."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdecimal():
            return int(value)
    return 0


def _remove_tree(folder: str) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        for attempt in range(100):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                break
            except OSError as error:
                # A process that was killed a moment ago may still be counted.
                if attempt == 99:
                    raise KeeperError(
                        "internal", f"control group {path} cannot be removed: {error.strerror}"
                    ) from error
                time.sleep(0.005)
            else:
                break
