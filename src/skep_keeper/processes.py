"""Processes of the host, told apart from others that were given the same id later."""

import contextlib
import os
import select
import signal
import time

from skep_keeper import files

_STATE = 0
#: Field 22 of stat, counted from the state, which is field 3.
_START_TIME = 19
_DEAD = "ZX"


def boot_id() -> str:
    """Return what changes when the machine restarts."""
    return files.read_text("/proc/sys/kernel/random/boot_id")


def look(pid: int) -> tuple[str, int] | None:
    """Return a process's state letter and its start in clock ticks since boot; None if there is none."""
    fields = files.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (fields[_STATE], int(fields[_START_TIME])) if len(fields) > _START_TIME else None


def is_running(pid: int) -> bool:
    """Tell whether there is a process with this id that is not dead."""
    seen = look(pid)
    return seen is not None and seen[0] not in _DEAD


def open_same(pid: int, start: int) -> int | None:
    """Return a pidfd of the process with this id and start time, dead or alive; None if it has gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError):
        return None
    # Compared after the pidfd was taken: from here on the id cannot be somebody else's.
    seen = look(pid)
    if seen is not None and seen[1] == start:
        return descriptor
    os.close(descriptor)
    return None


def is_alive(pid: int, start: int) -> bool:
    """Tell whether this very process still runs."""
    seen = look(pid)
    return seen is not None and seen[1] == start and seen[0] not in _DEAD


def kill_and_wait(pid: int, start: int, timeout_s: float = 10.0) -> None:
    """End a process and wait until it is dead; reap it if it is a child of ours."""
    descriptor = open_same(pid, start)
    if descriptor is not None:
        try:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], timeout_s)
        finally:
            os.close(descriptor)
    reap(pid)


def reap(pid: int, timeout_s: float = 1.0) -> None:
    """Take a dying child's status, so that it does not stay a zombie; anybody else's is left alone."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            # Its first thread may have ended before the others: until then there is no status.
            select.select([descriptor], [], [], timeout_s)
        finally:
            os.close(descriptor)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def command_lines() -> dict[int, list[str]]:
    """Return the arguments of every process on the machine, by id."""
    found: dict[int, list[str]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            found[int(name)] = files.read_text(f"/proc/{name}/cmdline").split("\0")
    return found


def wait_until_gone(pids: list[int], timeout_s: float = 5.0) -> None:
    """Wait until processes that were told to end have gone."""
    deadline = time.monotonic() + timeout_s
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.005)
