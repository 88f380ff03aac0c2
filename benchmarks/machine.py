"""On what was measured: the machine, the versions, the disk."""

import os
import platform
import sqlite3
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.bench import seconds
from benchmarks.model import quantile

_PACKAGES = ("aiohttp", "fastapi", "pydantic", "psycopg", "sqlalchemy", "uv", "uvicorn", "uvloop")
_SYNCS = 50


def machine() -> dict[str, Any]:
    """Describe the hardware and the kernel."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory_mb": int(_field("/proc/meminfo", "MemTotal").split()[0] or 0) // 1024,
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "fsync_ms": round(fsync_ms(), 3),
    }


def versions() -> dict[str, str]:
    """Name the versions of what is measured."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    found |= {name: version(name) for name in _PACKAGES}
    return found | {"runc": _first_line("runc", "--version"), "git": _first_line("git", "--version")}


def fsync_ms() -> float:
    """Return the median time that a small write takes to reach the disk of the temporary folder."""
    with tempfile.TemporaryFile() as file:

        def write() -> None:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())

        return quantile([seconds(write) * 1000 for _ in range(_SYNCS)], 0.5)


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _first_line(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "missing"
    return done.stdout.partition("\n")[0].rpartition("version ")[2].strip()
