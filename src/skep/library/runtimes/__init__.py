"""The runtimes that are put over the machine's own: Node from the package index, other Pythons as uv's copies."""

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from skep.library.runtimes.node import nodes
from skep.library.runtimes.python import Source, pythons
from skep.product.images.base import Runtime

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


def load(uv: str, source: Source, machine: str = "") -> Installed:
    """Return what can be had on this machine; blocks for as long as uv takes to list its copies (0.1 s).

    Args:
        uv: path of the program.
        source: where the operator says that copies of Python are.
        machine: "x86_64", "aarch64"; "" is this one.
    """
    machine = machine or platform.machine()
    listing = ask(uv, source)
    text = _read(source.downloads) if source.downloads_file else ""
    return Installed(pythons(listing, source, machine, text), nodes(machine))


def ask(uv: str, source: Source) -> str:
    """Return uv's list of the copies that it can fetch, as JSON; "" if it has none to tell."""
    where = ("--python-downloads-json-url", source.downloads) if source.downloads else ()
    argv = (uv, "python", "list", "--no-config", "--only-downloads", "--all-versions", "--output-format", "json")
    env: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "UV_NO_CACHE": "1"}
    try:
        asked = subprocess.run((*argv, *where), env=env, capture_output=True, timeout=_ASK_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout.decode("utf-8", "replace")


def _read(path: str) -> str:
    with Path(path).open(encoding="utf-8") as file:
        text = file.read(_MAX_TEXT)
    json.loads(text)
    return text
