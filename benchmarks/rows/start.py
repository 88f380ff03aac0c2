"""The start of the server, and what it holds when nothing is to be done."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench, Row, load, seconds
from benchmarks.installed import Caller
from benchmarks.model import Bar, Figure
from benchmarks.processes import memory_mb
from skep.edge.cli.launch import start as launch
from skep.kernel.settings import Settings
from skep.testing.installation import installation

#: What any server of this kind has to import, in the interpreter's own words.
_IMPORTS = "import fastapi, pydantic_settings, sqlalchemy, sqlite3, uvicorn, uvloop, aiohttp"
_PROCESSES = ("server", "keeper", "launcher")


async def start(bench: Bench) -> AsyncIterator[Figure]:
    """Start and stop the same installation again and again; its first start makes the database, too."""
    before = load()
    with _folder() as data:
        first = await asyncio.to_thread(_start, data)
        server, bare, whole = list[float](), list[float](), list[float]()
        for _ in range(bench.repetitions):
            server.append(await asyncio.to_thread(_start, data))
            bare.append(seconds(_import))
            whole.append(seconds(lambda: _skep(data, "up", "--detach")))
            _skep(data, "down")
    yield bench.figure(
        "server spawned to /readyz ok",
        "s",
        server,
        Bar(limit=2),
        peers={"bare imports": bare},
        load=before,
        note=f"the first start, which makes the database: {first:.2f} s",
    )
    yield bench.figure("`skep up --detach`, whole", "s", whole, load=before)


@contextmanager
def _folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="skep-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder / "data"


def _start(data: Path) -> float:
    """Start everything and stop it; return how long the server took."""
    config = launch.orders(Settings(data_dir=data, port=0), _environment(data), detach=True)
    moments: dict[str, float] = {}
    with launch.launcher(config, "up") as launcher:
        for event in launcher.events():
            moments[event.get("part", event["event"])] = time.perf_counter()
            if event["event"] == "failed":
                raise RuntimeError(event["message"])
            if event["event"] == "ready":
                break
    _skep(data, "down")
    return moments["ready"] - moments["server"]


def _skep(data: Path, *arguments: str) -> None:
    command = (sys.executable, "-m", "skep.edge.cli.main", *arguments)
    subprocess.run(command, env=_environment(data), check=True, capture_output=True)


def _environment(data: Path) -> dict[str, str]:
    return {**os.environ, "SKEP_DATA_DIR": str(data), "SKEP_PORT": "0"}  # noqa: TID251  a child's environment


def _import() -> None:
    subprocess.run((sys.executable, "-I", "-c", _IMPORTS), check=True)


async def memory(bench: Bench) -> AsyncIterator[Figure]:
    """Ask the kernel, after the server has answered a few requests."""
    before = load()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in _PROCESSES}
    for _ in range(min(bench.repetitions, 3)):
        with installation() as skep:
            caller = Caller(skep)
            for path in ("/agents", "/runs", "/doctor"):
                caller.call("GET", path)
            caller.close()
            for name in _PROCESSES:
                found[name].append(memory_mb(skep.pid(name) or 0))
    for name, values in found.items():
        bars = (Bar(limit=200),) if name == "server" else ()
        shares = ", ".join(f"{share:.0f}" for share, _ in values)
        yield bench.figure(
            f"idle {name}, resident (RSS)", "MB", [rss for _, rss in values], *bars, load=before, note=f"PSS {shares}"
        )


ROWS = (
    Row(name="start", about="start of the server, and of everything", measure=start, sandboxes=True),
    Row(name="memory", about="memory of the idle processes", measure=memory, sandboxes=True),
)
