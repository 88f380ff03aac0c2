"""The runtimes that are put over the machine's own: Node from the package index, other Pythons as uv's copies."""

import json
import logging
import platform
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from skep.kernel.errors import InvalidError
from skep.library.runtimes.node import nodes
from skep.library.runtimes.python import Source, pythons
from skep.product.images.planning.base import Runtime

log = logging.getLogger(__name__)

_ASK_TIMEOUT_S = 30.0
_MAX_TEXT = 16 * 1024 * 1024

__all__ = ["Installed", "Source", "load"]


class Installed:
    """What can be had on one machine (`images.base.Runtimes`)."""

    def __init__(self, pythons: Sequence[Runtime], nodes: Sequence[Runtime]) -> None:
        self._pythons = tuple(pythons)
        self._nodes = tuple(nodes)

    def pythons(self) -> tuple[Runtime, ...]:
        """Return the copies of Python that can be had, newest first."""
        return self._pythons

    def nodes(self) -> tuple[Runtime, ...]:
        """Return the versions of Node that can be had, the one that is taken by default first."""
        return self._nodes


def load(source: Source | None = None, uv: str = "", machine: str = "") -> Installed:
    """Return what can be had on this machine; blocks for as long as uv takes to list its copies (0.1 s).

    Args:
        source: where the operator says that copies of Python are; None is where uv knows them to be.
        uv: path of the program; "" is the one that came with Skep.
        machine: "x86_64", "aarch64"; "" is this one.

    Raises:
        InvalidError: `python_downloads_invalid`: the operator's list is a file that cannot be read.
    """
    source, machine = source or Source(), machine or platform.machine()
    text = _read(source.downloads) if source.downloads_file else ""
    listing = _ask(uv or str(Path(sysconfig.get_path("scripts")) / "uv"), source)
    return Installed(pythons(listing, source, machine, text), nodes(machine))


def _ask(uv: str, source: Source) -> str:
    """Return uv's list of the copies that it can fetch, as JSON; "" if it has none to tell."""
    where = ("--python-downloads-json-url", source.downloads) if source.downloads else ()
    argv = (uv, "python", "list", "--no-config", "--only-downloads", "--all-versions", "--output-format", "json")
    env: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "UV_NO_CACHE": "1"}
    try:
        asked = subprocess.run((*argv, *where), env=env, capture_output=True, timeout=_ASK_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else b""
        log.warning(
            "no copies of Python can be had", extra={"uv": said.decode("utf-8", "replace")[-500:] or str(error)}
        )
        return ""
    return asked.stdout.decode("utf-8", "replace")


def _read(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_MAX_TEXT)
        json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidError(
            f"The list of copies of Python, {path}, cannot be read: {error}.",
            code="python_downloads_invalid",
            hint="Correct SKEP_PYTHON_DOWNLOADS, or make the file readable for the server.",
        ) from error
    return text
