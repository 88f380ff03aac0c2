"""Looks at a running installation from outside: database, logs, spools, /proc. It imports nothing of Skep.

It must never share code with what it checks: formats are written down here a second time, on purpose.
"""

import json
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

LOG_FRAME = struct.Struct("!BQQI")
SPOOL_RECORD = struct.Struct("!BQI")

PHASES = (
    "intent written",
    "created",
    "running",
    "exited, not recorded",
    "output not flushed",
    "dependencies installing",
)


@dataclass(slots=True)
class Snapshot:
    """What was in flight at one moment."""

    counts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return ", ".join(f"{name} {self.counts[name]}" for name in PHASES if self.counts[name]) or "nothing"


class Observer:
    """Reads the database and the files of one installation, and the machine's own tables."""

    def __init__(self, data_dir: Path, run_dir: Path, database_url: str = "") -> None:
        self.data_dir = data_dir
        self.run_dir = run_dir
        self._database_url = database_url

    def rows(self, query: str) -> list[Any]:
        """Read the database, as it is committed now: the URL's, or else the file."""
        if self._database_url:
            with psycopg.connect(
                self._database_url, autocommit=True, row_factory=dict_row, options="-c search_path=skep"
            ) as db:
                return db.execute(query).fetchall()  # pyright: ignore  a query of our own
        with closing(sqlite3.connect(f"file:{self.data_dir}/state/skep.db?mode=ro", uri=True, timeout=5)) as db:
            db.row_factory = sqlite3.Row
            return db.execute(query).fetchall()

    def snapshot(self) -> Snapshot:
        """Say what is in flight now."""
        seen = Snapshot()
        for row in self.rows("select id, phase, sandbox_id, log_id from attempts where phase <> 'ended'"):
            spool = self.run_dir / "s" / row["sandbox_id"] / "disk" / "spool"
            exited = (spool / f"{row['id']}.exit").exists()
            match row["phase"]:
                case "intended":
                    seen.counts["intent written"] += 1
                case "created":
                    seen.counts["created"] += 1
                case "started" if not exited:
                    seen.counts["running"] += 1
                case _:
                    seen.counts["exited, not recorded"] += 1
            if spooled(spool / f"{row['id']}.out") > self.flushed(row["log_id"]):
                seen.counts["output not flushed"] += 1
        installing = self.rows("select count(*) as n from builds where status = 'running' and step = 'installing'")
        seen.counts["dependencies installing"] += installing[0]["n"]
        return seen

    def log_file(self, log_id: str) -> Path:
        """Return where a log lies."""
        return self.data_dir / "state" / "logs" / log_id[-2:] / f"{log_id}.log"

    def frames(self, log_id: str) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, bytes) of each whole frame of a log."""
        path = self.log_file(log_id)
        raw = path.read_bytes() if path.exists() else b""
        at = 0
        while at + LOG_FRAME.size <= len(raw):
            stream, _, _, length = LOG_FRAME.unpack_from(raw, at)
            at += LOG_FRAME.size
            if stream not in (1, 2, 3) or at + length > len(raw):
                return
            yield stream, raw[at : at + length]
            at += length

    def flushed(self, log_id: str) -> int:
        """Return how many bytes of the agent's output the log holds."""
        return sum(len(data) for stream, data in self.frames(log_id) if stream in (1, 2))

    def stdout(self, log_id: str) -> str:
        """Return what the log holds of standard output."""
        return b"".join(data for stream, data in self.frames(log_id) if stream == 1).decode()

    def left_over(self, instance: str) -> list[str]:
        """Name all that is on the machine and belongs to this installation's sandboxes."""
        found = [f"mount {where}" for where in mounts() if where.startswith(f"{self.run_dir}/s/")]
        found += [f"folder {path}" for path in (self.run_dir / "s").glob("*")]
        found += [
            f"disk {path}" for path in (self.data_dir / "keeper" / "disks").glob("*") if path.suffix != ".template"
        ]
        found += [f"half a layer {path}" for path in (self.data_dir / "keeper" / "layers").glob("*[!0-9a-f]*")]
        found += [f"process {pid} in {group}" for pid, group in control_groups() if f"/skep/{instance}/" in group]
        for hierarchy in ("*/skep", "skep"):
            found += [
                f"control group {path}"
                for path in Path("/sys/fs/cgroup").glob(f"{hierarchy}/{instance}/*")
                if path.is_dir()
            ]
        found += [f"loop device on {file}" for file in loop_files() if file.startswith(str(self.data_dir))]
        found += [f"row of sandbox {row['id']}" for row in self.rows("select id from sandboxes")]
        found += [
            f"unfinished work {row['ref']}"
            for row in self.rows("select ref from work where state not in ('done', 'dead')")
        ]
        return found


def spooled(path: Path) -> int:
    """Return how many bytes of output a supervisor has spooled."""
    try:
        raw = path.read_bytes()
    except OSError:
        return 0
    at = total = 0
    while at + SPOOL_RECORD.size <= len(raw):
        stream, _, length = SPOOL_RECORD.unpack_from(raw, at)
        if stream not in (1, 2, 3):
            break
        total += length if stream in (1, 2) else 0
        at += SPOOL_RECORD.size + length
    return total


def mounts() -> list[str]:
    """List the mount points of this process's namespace."""
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def control_groups() -> Iterator[tuple[int, str]]:
    """Yield (pid, control groups) of every process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cgroup").read_text() + "/"
            except OSError:
                continue


def loop_files() -> Iterator[str]:
    """Yield the file behind each loop device that is in use."""
    for place in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            yield place.read_text().strip()
        except OSError:
            continue


def decoded(value: str | None) -> object:
    """Return the JSON of a column."""
    return None if value is None else json.loads(value)
