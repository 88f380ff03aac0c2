"""A copy of Python such as uv fetches, made from one of this machine's: for tests without the real ones' server."""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

_LEFT_OUT = {"test", "tests", "idlelib", "site-packages", "__pycache__", "tkinter", "lib2to3", "ensurepip"}


@dataclass(frozen=True, slots=True)
class Copy:
    """One that is packed."""

    version: str
    archive: bytes

    def listed(self, url: str) -> str:
        """Return the list of downloads that names it at *url*."""
        major, minor, patch = (int(part) for part in self.version.split("."))
        entry = {
            "name": "cpython",
            "arch": {"family": platform.machine(), "variant": None},
            "os": "linux",
            "libc": "gnu",
            "major": major,
            "minor": minor,
            "patch": patch,
            "prerelease": "",
            "url": url,
            "sha256": hashlib.sha256(self.archive).hexdigest(),
            "variant": None,
            "build": None,
        }
        return json.dumps({f"cpython-{self.version}-linux-{platform.machine()}-gnu": entry})


def other_python(than: str) -> Path | None:
    """Return the folder of a Python 3.9 or later that is no *than* ("3.11"), or None if this machine has none."""
    folders = Path.home().glob(".pyenv/versions/3.*.*")
    for folder in sorted(folders, key=lambda each: int(each.name.split(".")[1]), reverse=True):
        minor = ".".join(folder.name.split(".")[:2])
        if minor != than and int(minor.split(".")[1]) >= 9 and (folder / "lib" / f"libpython{minor}.so.1.0").exists():
            return folder
    return None


def pack(folder: Path) -> Copy:
    """Pack the Python in *folder* so that it runs wherever it is unpacked."""
    asked = subprocess.run(
        [folder / "bin" / "python3", "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=True,
    )
    version = asked.stdout.strip()
    minor = ".".join(version.split(".")[:2])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        _add(tar, f"python/bin/python{minor}", _moved(folder, folder / "bin" / f"python{minor}"), 0o755)
        library = f"libpython{minor}.so.1.0"
        _add(tar, f"python/lib/{library}", _moved(folder, folder / "lib" / library), 0o755)
        tar.add(folder / "lib" / f"python{minor}", f"python/lib/python{minor}", filter=_needed)
        for name in ("python", "python3"):
            link = tarfile.TarInfo(f"python/bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, f"python{minor}"
            tar.addfile(link)
    return Copy(version=version, archive=buffer.getvalue())


def _moved(folder: Path, file: Path) -> bytes:
    """Return a program that looks for its library beside itself instead of in *folder*."""
    old, new = f"{folder}/lib\0".encode(), b"$ORIGIN/../lib\0"
    return file.read_bytes().replace(old, new.ljust(len(old), b"\0"))


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def _needed(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = set(info.name.split("/")[3:])
    if parts & _LEFT_OUT or any(part.startswith("config-") for part in parts):
        return None
    info.uid = info.gid = 0
    return info
