"""A repository with a hundred locked dependencies: from `skep deploy` to ready, beside git and uv alone.

Cold is a new data folder, and an empty cache: a hundred files are fetched from the package index, which may be busy. So
it is told as a ratio to bare `uv sync`, each in the same minute as the other.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench, Row, load, seconds
from benchmarks.installed import Caller
from benchmarks.model import Bar, Figure
from skep.edge.cli.launch.start import uv_path
from skep.testing.git_server import GitServer, Repository, serve_git
from skep.testing.installation import Installation, installation

_HUNDRED = Path(__file__).parents[1] / "data" / "hundred"
_MAIN = "import flask, httpx, rich\n\nprint('here')\n"
_PACKAGED = '\n[project.scripts]\nhundred = "hundred:main"\n\n[build-system]\nrequires = ["hatchling"]\n'
_BACKEND = 'build-backend = "hatchling.build"\n'
_BARE_COLD, _BARE_WARM = "git clone + uv sync, empty cache", "git clone + uv sync"
#: A cold deploy fetches everything: the index is not asked for it more often than that.
_COLD = 3


async def dependencies(bench: Bench) -> AsyncIterator[Figure]:
    """Deploy with nothing cached, with a changed source, in another project, and the project as a package."""
    before = load()
    with tempfile.TemporaryDirectory(prefix="skep-bench-") as name, serve_git(Path(name) / "git") as git:
        ground = _Ground(Path(name), git)
        cold, bare_cold = list[float](), list[float]()
        for _ in range(min(_COLD, bench.repetitions)):
            with ground.installation() as skep:
                cold.append(await _timed(ground.deploying(skep, "cold")))
            bare_cold.append(await _timed(ground.by_hand("new")))
        yield bench.figure(
            "100 dependencies, nothing cached, deployed",
            "s",
            cold,
            Bar(limit=2, against=_BARE_COLD),
            peers={_BARE_COLD: bare_cold},
            load=before,
            note=f"{_files(ground.clone)} files",
        )
        with ground.installation() as skep:
            await _timed(ground.deploying(skep, "warm"))
            await _timed(ground.by_hand("kept"))
            for figure in (_changed, _elsewhere, _packaged):
                yield await figure(bench, ground, skep)


async def _changed(bench: Bench, ground: "_Ground", skep: Installation) -> Figure:
    before, ours, bare = load(), list[float](), list[float]()
    for _ in range(bench.repetitions):
        ground.change()
        ours.append(await _timed(ground.deploying(skep, "warm")))
        bare.append(await _timed(ground.by_hand("kept")))
    peers = {_BARE_WARM: bare}
    return bench.figure("only the source changed, deployed", "s", ours, Bar(limit=3), peers=peers, load=before)


async def _elsewhere(bench: Bench, ground: "_Ground", skep: Installation) -> Figure:
    before, ours = load(), list[float]()
    caller = Caller(skep)
    for number in range(bench.repetitions):
        project = caller.call("POST", "/projects", {"name": f"other-{number}"})["id"]
        ours.append(await _timed(ground.deploying(skep, "other", "--project", project)))
    caller.close()
    return bench.figure("the same lock in another project, deployed", "s", ours, Bar(limit=3), load=before)


async def _packaged(bench: Bench, ground: "_Ground", skep: Installation) -> Figure:
    before, ours = load(), list[float]()
    ground.package()
    await _timed(ground.deploying(skep, "packaged"))
    for _ in range(bench.repetitions):
        ground.change()
        ours.append(await _timed(ground.deploying(skep, "packaged")))
    what = "the project a package itself (hatchling), only the source changed, deployed"
    return bench.figure(what, "s", ours, Bar(limit=3), load=before)


class _Ground:
    """A repository of a hundred dependencies, and who deploys it."""

    def __init__(self, root: Path, git: GitServer) -> None:
        self._root = root
        self._git = git
        self._repository: Repository = git.repository("hundred")
        self._number = 0
        self.clone = root / "clone"
        self._repository.commit({path.name: path.read_bytes() for path in _HUNDRED.iterdir()} | {"main.py": _MAIN})

    def change(self) -> None:
        """Commit another source with the same lock."""
        self._number += 1
        self._repository.commit({"number.txt": str(self._number)})

    def package(self) -> None:
        """Make the project one that is built and installed itself."""
        project = (_HUNDRED / "pyproject.toml").read_text() + _PACKAGED + _BACKEND
        lock = (_HUNDRED / "uv.lock").read_text().replace('{ virtual = "." }', '{ editable = "." }')
        module = "def main():\n    import main\n"
        self._repository.commit({"pyproject.toml": project, "uv.lock": lock, "src/hundred/__init__.py": module})

    @contextmanager
    def installation(self) -> Generator[Installation]:
        """Start Skep with nothing cached."""
        with installation(SKEP_GIT_HTTP_HOSTS=self._git.host, SKEP_EGRESS_ALLOW_PRIVATE=self._git.host) as skep:
            yield skep

    def deploying(self, skep: Installation, agent: str, *options: str) -> Callable[[], object]:
        """Return what deploys the repository and waits until it is ready."""
        arguments = (*options, "deploy", self._git.url("hundred"), "--name", agent)
        return lambda: skep.cli(*arguments, timeout_s=600)

    def by_hand(self, cache: str) -> Callable[[], object]:
        """Return what clones it and makes its environment with uv; the cache "new" is empty."""

        def act() -> None:
            shutil.rmtree(self.clone, ignore_errors=True)
            environment = {**os.environ, "UV_PYTHON": "/usr/bin/python3"}  # noqa: TID251
            environment["UV_CACHE_DIR"] = str(self._root / f"cache-{cache}")
            clone = ("git", "clone", "--quiet", "--depth", "1", self._git.url("hundred"), str(self.clone))
            subprocess.run(clone, check=True, capture_output=True)
            sync = (uv_path(), "sync", "--quiet", "--frozen", "--no-dev", "--compile-bytecode", "--link-mode", "copy")
            subprocess.run(sync, check=True, capture_output=True, cwd=self.clone, env=environment)

        shutil.rmtree(self._root / "cache-new", ignore_errors=True)
        return act


async def _timed(action: Callable[[], object]) -> float:
    return await asyncio.to_thread(seconds, action)


def _files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder / ".venv"))


ROWS = (
    Row(
        name="dependencies",
        about="a repository with 100 locked dependencies, cold and warm, beside bare uv sync",
        measure=dependencies,
        sandboxes=True,
    ),
)
