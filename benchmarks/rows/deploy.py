"""A build from git whose dependencies are there already: what a user waits for after a commit."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.bench import Bench, Row, load, seconds
from benchmarks.installed import Caller
from benchmarks.model import Bar, Figure
from skep.edge.cli.launch.start import uv_path
from skep.testing.git_server import Repository, serve_git
from skep.testing.installation import installation

_EXAMPLE = Path(__file__).parents[2] / "examples" / "hello"
_NAME = "hello"
_BARE = "git clone + uv sync"


async def deploy(bench: Bench) -> AsyncIterator[Figure]:
    """Commit, build, and do the same by hand; each with what the one before it left."""
    before = load()
    ours, bare = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="skep-bench-") as name:
        root = Path(name)
        with serve_git(root / "git") as git:
            repository = git.repository(_NAME)
            _commit(repository, 0)
            with installation(SKEP_GIT_HTTP_HOSTS=git.host, SKEP_EGRESS_ALLOW_PRIVATE=git.host) as skep:
                caller = Caller(skep)
                caller.call("POST", "/agents", {"name": _NAME, "source": {"git": {"url": git.url(_NAME)}}})
                first = await asyncio.to_thread(seconds, lambda: caller.build(_NAME))
                await asyncio.to_thread(_by_hand, git.url(_NAME), root)
                for number in range(1, bench.repetitions + 1):
                    _commit(repository, number)
                    ours.append(await asyncio.to_thread(seconds, lambda: caller.build(_NAME)))
                    bare.append(await asyncio.to_thread(seconds, lambda: _by_hand(git.url(_NAME), root)))
                caller.close()
    yield bench.figure(
        "a new commit, built",
        "s",
        ours,
        Bar(limit=3),
        peers={_BARE: bare},
        load=before,
        note=f"the first build, with nothing cached: {first:.1f} s",
    )


def _commit(repository: Repository, number: int) -> None:
    files: dict[str, str | bytes] = {path.name: path.read_bytes() for path in _EXAMPLE.iterdir() if path.is_file()}
    repository.commit({**files, "number.txt": str(number)}, f"number {number}")


def _by_hand(url: str, root: Path) -> None:
    clone = root / "clone"
    environment = {**os.environ, "UV_CACHE_DIR": str(root / "cache"), "UV_PYTHON": "/usr/bin/python3"}  # noqa: TID251
    subprocess.run(("git", "clone", "--quiet", "--depth", "1", url, str(clone)), check=True, capture_output=True)
    sync = (uv_path(), "sync", "--quiet", "--frozen", "--no-dev", "--compile-bytecode", "--link-mode", "copy")
    subprocess.run(sync, check=True, capture_output=True, cwd=clone, env=environment)
    shutil.rmtree(clone)


ROWS = (Row(name="deploy", about="a build from git, dependencies cached", measure=deploy, sandboxes=True),)
