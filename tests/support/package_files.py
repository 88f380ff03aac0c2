"""Packages made by hand, good or bad: wheels, source distributions, npm's tarballs, as bytes."""

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A file of an index."""

    project: str
    filename: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Lower-case hex."""
        return hashlib.sha256(self.content).hexdigest()


def wheel(
    name: str, version: str, files: Mapping[str, str], *, scripts: Mapping[str, str] | None = None, requires: str = ""
) -> PackageFile:
    """Make a pure wheel; *files* are put in under whatever name they have, *scripts* are its console scripts."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    inside = {
        **files,
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        inside[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}"
    record = "".join(f"{path},sha256={_record_hash(text)},{len(text.encode())}\n" for path, text in inside.items())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in {**inside, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return PackageFile(name, f"{name}-{version}-py3-none-any.whl", packed.getvalue())


def sdist(name: str, version: str, files: Mapping[str, str]) -> PackageFile:
    """Make a source distribution of *files*: a setup.py, or a pyproject.toml and its backend."""
    info = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    folder = f"{name}-{version}"
    packed = _tarball({f"{folder}/{path}": text for path, text in {"PKG-INFO": info, **files}.items()})
    return PackageFile(name, f"{folder}.tar.gz", packed)


def npm_package(name: str, version: str, files: Mapping[str, str], **manifest: Any) -> PackageFile:
    """Make a package of npm; *manifest* is more of its package.json."""
    package = {"name": name, "version": version, **manifest}
    packed = _tarball(
        {f"package/{path}": text for path, text in {"package.json": json.dumps(package), **files}.items()}
    )
    return PackageFile(name, f"{name}-{version}.tgz", packed)


def npm_integrity(file: PackageFile) -> str:
    """Return a hash as npm's lock has it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(file.content).digest()).decode()


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _tarball(files: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()
