"""How much memory a process holds, as the kernel counts it."""

from pathlib import Path

_KB = 1024


def memory_mb(pid: int) -> tuple[float, float]:
    """Return what a process holds, in MB: its proportional share (PSS), and all that is resident (RSS)."""
    found = {"Pss": 0.0, "Rss": 0.0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in found:
            found[name] = int(value.split()[0]) / _KB
    return found["Pss"], found["Rss"]


def command_line(pid: int) -> list[str]:
    """Return the arguments that a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
