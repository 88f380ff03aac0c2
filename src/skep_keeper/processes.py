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


def boot_id() -> str:
    """Return what changes when the machine restarts."""
    return files.read_text("/proc/sys/kernel/random/boot_id")


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is not there, or is dead."""
    text = files.read_text(f"/proc/{pid}/stat")
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _START_TIME or fields[_STATE] in "ZX":
        return None
    return int(fields[_START_TIME])


def open_same(pid: int, start: int) -> int | None:
    """Return a pidfd of the process with this id and start time; None if it has gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError):
        return None
    # Compared after the pidfd was taken: from here on the id cannot be somebody else's.
    if start_time(pid) == start:
        return descriptor
    os.close(descriptor)
    return None


def is_alive(pid: int, start: int) -> bool:
    """Tell whether this very process still runs."""
    return start_time(pid) == start


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


def reap(pid: int) -> None:
    """Take a dead child's status, so that it does not stay a zombie; anybody else's is left alone."""
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
    while any(start_time(pid) is not None for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.005)
