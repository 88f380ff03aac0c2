"""Copies of Python that uv can fetch, from its own list or the operator's; pure: the list is read elsewhere."""

import json
import re
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from skep.product.images.planning.base import Runtime
from skep.product.images.planning.places import PYTHONS, TMP

_ORIGIN = "uv's copy"
_VERSION = re.compile(r"\d{1,2}\.\d{1,3}\.\d{1,3}")
_KEY = re.compile(r"[a-z0-9._+-]{1,100}")
_LIST = f"{TMP}/skep-python-downloads.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the operator says that copies of Python are; both "" mean where uv knows them to be."""

    #: Address to put for that of uv's releases (UV_PYTHON_INSTALL_MIRROR).
    mirror: str = ""
    #: Path or address of a list of one's own (UV_PYTHON_DOWNLOADS_JSON_URL).
    downloads: str = ""

    @property
    def downloads_file(self) -> bool:
        """Tell whether the list is a file of this machine."""
        return bool(self.downloads) and urlsplit(self.downloads).scheme not in ("http", "https")


def pythons(listing: str, source: Source, machine: str, downloads: str = "") -> tuple[Runtime, ...]:
    """Return the released copies of CPython for *machine*, newest first.

    Args:
        listing: what `uv python list --output-format json` says.
        source: where they are.
        machine: "x86_64", "aarch64".
        downloads: text of the operator's list if that is a file: a sandbox cannot see it.
    """
    try:
        entries: Any = json.loads(listing or "[]")
    except ValueError:
        return ()
    found = [entry for entry in cast("list[Any]", entries) if _is_release(entry, machine)]
    own: dict[str, Any] = json.loads(downloads) if downloads else {}
    copies = (_runtime(entry, source, own) for entry in found)
    return tuple(sorted(copies, key=lambda copy: [int(part) for part in copy.version.split(".")], reverse=True))


def _is_release(entry: Any, machine: str) -> bool:
    wanted = {"implementation": "cpython", "variant": "default", "os": "linux", "libc": "gnu", "arch": machine}
    if not isinstance(entry, dict):
        return False
    found = cast("dict[str, Any]", entry)
    return (
        all(found.get(name) == value for name, value in wanted.items())
        and _VERSION.fullmatch(str(found.get("version"))) is not None
        and _KEY.fullmatch(str(found.get("key"))) is not None
    )


def _runtime(entry: dict[str, Any], source: Source, own: dict[str, Any]) -> Runtime:
    key, url = str(entry["key"]), str(entry.get("url") or "")
    env: dict[str, str] = {}
    puts: dict[str, str] = {}
    if source.mirror:
        env["UV_PYTHON_INSTALL_MIRROR"] = source.mirror
    if source.downloads_file:
        env["UV_PYTHON_DOWNLOADS_JSON_URL"] = _LIST
        puts[_LIST] = json.dumps({name: one for name, one in own.items() if _names(one, url)}, sort_keys=True)
    elif source.downloads:
        env["UV_PYTHON_DOWNLOADS_JSON_URL"] = source.downloads
    return Runtime(
        name="python",
        version=str(entry["version"]),
        origin=_ORIGIN,
        facts=f"{key} {url}",
        folder=f"{PYTHONS}/{key}",
        env=env,
        puts=puts,
    )


def _names(entry: Any, url: str) -> bool:
    return isinstance(entry, dict) and cast("dict[str, Any]", entry).get("url") == url
