"""Packages made by tests: wheels, source distributions, npm tarballs; small, real, the same bytes each time."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WHEN = (2024, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A file of an index."""

    name: str
    version: str
    filename: str
    data: bytes
    #: METADATA of a wheel, package.json of an npm tarball.
    metadata: bytes = b""

    @property
    def sha256(self) -> str:
        """Its SHA-256, hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def integrity(self) -> str:
        """Its SHA-512 as npm writes it."""
        return "sha512-" + base64.b64encode(hashlib.sha512(self.data).digest()).decode("ascii")


def wheel(
    name: str, version: str = "1.0", files: Mapping[str, str | bytes] | None = None, requires: Sequence[str] = ()
) -> Package:
    """Make a wheel for every Python 3; without *files* it is a module that knows its VERSION."""
    module = name.replace("-", "_")
    inner = files if files is not None else {f"{module}.py": f'VERSION = "{version}"\n'}
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    metadata = ("\n".join(lines) + "\n").encode()
    info = f"{module}-{version}.dist-info"
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in inner.items()}
    contents[f"{info}/METADATA"] = metadata
    contents[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},sha256={_urlsafe(data)},{len(data)}\n" for path, data in contents.items())
    contents[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in contents.items():
            archive.writestr(zipfile.ZipInfo(path, _WHEN), data)
    return Package(
        name=name,
        version=version,
        filename=f"{module}-{version}-py3-none-any.whl",
        data=buffer.getvalue(),
        metadata=metadata,
    )


def sdist(name: str, version: str = "1.0", files: Mapping[str, str | bytes] | None = None) -> Package:
    """Make a source distribution of *files*, PKG-INFO added."""
    module = name.replace("-", "_")
    info = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    data = _tar({f"{module}-{version}/{path}": text for path, text in {"PKG-INFO": info, **(files or {})}.items()})
    return Package(name=name, version=version, filename=f"{module}-{version}.tar.gz", data=data)


def npm_package(
    name: str, version: str = "1.0.0", files: Mapping[str, str] | None = None, requires: Mapping[str, str] | None = None
) -> Package:
    """Make an npm tarball; without *files* it exports its version."""
    manifest = json.dumps({"name": name, "version": version, "main": "index.js", "dependencies": dict(requires or {})})
    inner = {"package.json": manifest, **(files or {"index.js": f'module.exports = "{version}"\n'})}
    data = _tar({f"package/{path}": text for path, text in inner.items()})
    filename = f"{name.rpartition('/')[2]}-{version}.tgz"
    return Package(name=name, version=version, filename=filename, data=data, metadata=manifest.encode())


def _tar(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode("ascii").rstrip("=")
