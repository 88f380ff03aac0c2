"""Peers: the OCI runtime alone on the bundle of one of our sandboxes, and Docker where its daemon runs."""

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


def runtime() -> str:
    """Return the path of runc."""
    return shutil.which("runc", path=_SYSTEM_PATH) or "runc"


@dataclass(frozen=True, slots=True)
class BareRunc:
    """`runc run` of one bundle, with another command for its process 1 and a control group of its own."""

    folder: Path
    config: dict[str, Any]
    numbers: "count[int]"

    def argv(self, *command: str) -> tuple[str, ...]:
        """Write a bundle that runs *command*; return what runs it to its end."""
        name = f"bare-{next(self.numbers)}"
        parent = self.config["linux"]["cgroupsPath"].rpartition("/")[0]
        config = {
            **self.config,
            "process": {**self.config["process"], "args": list(command)},
            "linux": {**self.config["linux"], "cgroupsPath": f"{parent}/{name}"},
        }
        bundle = self.folder / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(config))
        return (runtime(), "--root", str(self.folder / "state"), "run", "-b", str(bundle), name)


@contextmanager
def bare_runc(config: Path) -> Generator[BareRunc]:
    """Run what a living sandbox's *config* says, without Skep."""
    with tempfile.TemporaryDirectory(prefix="skep-bare-") as folder:
        yield BareRunc(Path(folder), json.loads(config.read_text()), count())


async def finish(argv: Sequence[str]) -> None:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; the message is what it said.
    """
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{argv[0]}: {said.decode(errors='replace')[-500:]}")


def docker_argv() -> tuple[str, ...] | None:
    """Return what runs a command in a new container; None without a daemon, or without any image on the machine."""
    if shutil.which("docker") is None:
        return None
    images = subprocess.run(
        ("docker", "images", "--quiet", "--filter", "dangling=false"), capture_output=True, text=True, check=False
    )
    found = images.stdout.split()
    if images.returncode != 0 or not found:
        return None
    return ("docker", "run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", found[0], "-c", "exit 0")
