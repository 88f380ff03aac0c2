"""Processes by id *and* start time, so that a reused id deceives nobody."""

import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one."""

    pid: int
    #: Clock ticks since the boot (field 22 of /proc/PID/stat).
    start: int

    @property
    def alive(self) -> bool:
        """Tell whether it still runs (a zombie does not)."""
        found = look(self.pid)
        return found is not None and found == self

    def end(self, number: int, wait_s: float) -> bool:
        """Send it a signal and wait; True once it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive:
                return True
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(wait_s * 1000))
        finally:
            os.close(handle)


def look(pid: int) -> Process | None:
    """Return the running process of this id."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def write(path: str, pid: int) -> None:
    """Keep a process in `<path>.pid`, with its start time in `<path>.start` beside it."""
    process = look(pid)
    if process is not None:
        Path(f"{path}.start").write_text(f"{process.start}\n")
        Path(f"{path}.pid").write_text(f"{process.pid}\n")


def read(path: str) -> Process | None:
    """Return the process that `write` kept, whether it runs or not."""
    try:
        return Process(int(Path(f"{path}.pid").read_text()), int(Path(f"{path}.start").read_text()))
    except (OSError, ValueError):
        return None


def forget(path: str) -> None:
    """Remove what `write` kept."""
    for kind in ("pid", "start"):
        Path(f"{path}.{kind}").unlink(missing_ok=True)
