"""Reads what a lock step answers: pylock.toml (PEP 751), written beside a user's source and so untrusted. Pure.

What it leads to is named by SHA-256 throughout: a wrong answer harms only who gave it.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

from packaging import tags
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
)
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from skep.kernel import bounded_toml
from skep.kernel.errors import InvalidError
from skep.product.gateway.mirror.door_paths import upstream
from skep.product.gateway.model import LockedFile
from skep.product.images.planning.base import Base
from skep.product.images.planning.places import APP, TMP

#: Characters of an answer; one of a hundred packages has about a tenth of that.
MAX_ANSWER = 4 * 1024 * 1024
_MAX_PACKAGES = 3000
_MAX_ADDRESS = 2000
_MAX_FILE = 250
#: Of all wheels together: each stands for the product of what its name lists.
_MAX_TAGS = 200_000
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,249}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
#: Nothing that ends a line, parts one, or is expanded by who reads a requirements file.
_ADDRESS = re.compile(r"(?:https?|ssh|file)://[^\s\x00-\x20\x7f\"'<>\\^`{|}$#;]+")
_SUBFOLDER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./+-]{0,500}")

Chosen = PackageVcs | PackageDirectory | PackageArchive | PackageWheel | PackageSdist


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedWheel:
    """A wheel that is installed by its hash; no code of it runs while that is done."""

    name: str
    version: str
    file: LockedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedSource:
    """A package that runs code when it is installed, or whose content is not known before."""

    name: str
    #: As a line of a requirements file: `name==1.0 --hash=sha256:...`, `name @ git+https://...@commit`, `-e file:///...`.
    requirement: str
    #: True for what an index has, by its hash.
    hashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All that a source depends on, sorted by name."""

    wheels: tuple[LockedWheel, ...] = ()
    sources: tuple[LockedSource, ...] = ()


class _WrongError(ValueError):
    pass


def parse(text: str, base: Base, python: str) -> Lock:
    """Read the answer of a `LockStep`.

    Args:
        text: pylock.toml; untrusted.
        base: whose platform the files have to fit.
        python: version of the Python that they are for (`LockStep.python`).

    Raises:
        InvalidError: `lock_invalid`; the message says what is wrong.
    """
    try:
        found = [_locked(package, chosen) for package, chosen in _select(text, base, python)]
    except Exception as error:
        # A foreign parser over a hostile text: whatever it stumbles over is the text's fault.
        said = str(error).strip() or type(error).__name__
        raise InvalidError(
            f"The lock of the dependencies cannot be used: {said[:500]}.",
            code="lock_invalid",
            hint="Lock again (`uv lock`), or pin other versions; a package may have no file for this machine's Python.",
        ) from error
    return Lock(
        wheels=tuple(sorted((one for one in found if isinstance(one, LockedWheel)), key=lambda one: one.name)),
        sources=tuple(sorted((one for one in found if isinstance(one, LockedSource)), key=lambda one: one.name)),
    )


def _select(text: str, base: Base, python: str) -> Iterator[tuple[Package, Chosen]]:
    raw = bounded_toml.loads(text, limit=MAX_ANSWER)
    _check_wheels(raw)
    lock = Pylock.from_dict(raw)
    if len(lock.packages) > _MAX_PACKAGES:
        raise _WrongError(f"it has more than {_MAX_PACKAGES} packages")
    minor = Version(python).release[:2]
    interpreter = f"cp{minor[0]}{minor[1]}"
    fitting = (
        *tags.cpython_tags(minor, abis=[interpreter], platforms=base.platforms),
        *tags.compatible_tags(minor, interpreter=interpreter, platforms=base.platforms),
    )
    environment: Any = _markers(base, python)
    return lock.select(environment=environment, tags=fitting)


def _check_wheels(raw: Mapping[str, Any]) -> None:
    """Refuse names of wheels that stand for more tags than there are: three lists of 200 are eight million."""
    left = _MAX_TAGS
    for package in _tables(raw.get("packages")):
        for wheel in _tables(package.get("wheels")):
            told = (wheel.get("name"), wheel.get("path"), unquote(urlsplit(str(wheel.get("url") or "")).path))
            for name in {re.split(r"[/\\]", str(one or ""))[-1] for one in told}:
                if len(name) > _MAX_FILE:
                    raise _WrongError(f"{name[:100]!r} is no name of a file")
                left -= prod(part.count(".") + 1 for part in name.split("-")[-3:])
    if left < 0:
        raise _WrongError(f"its wheels fit more than {_MAX_TAGS} kinds of machines")


def _tables(value: object) -> list[Mapping[str, Any]]:
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", one) for one in found if isinstance(one, dict)]


def _markers(base: Base, python: str) -> Mapping[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": base.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "linux",
    }


def _locked(package: Package, chosen: Chosen) -> LockedWheel | LockedSource:
    name = str(package.name)
    match chosen:
        case PackageWheel():
            return _wheel(name, chosen)
        case PackageSdist():
            return _sdist(package, chosen)
        case PackageVcs():
            return LockedSource(name=name, requirement=f"{name} @ {_repository(chosen)}")
        case PackageDirectory():
            address = _inside(chosen.path, chosen.subdirectory)
            return LockedSource(name=name, requirement=f"-e {address}" if chosen.editable else f"{name} @ {address}")
        case PackageArchive():
            fragment = _fragment({"sha256": _digest(chosen.hashes), "subdirectory": _subfolder(chosen.subdirectory)})
            address = _address(chosen.url) if chosen.url else _inside(chosen.path or "")
            return LockedSource(name=name, requirement=f"{name} @ {address}{fragment}")


def _wheel(name: str, wheel: PackageWheel) -> LockedWheel | LockedSource:
    version = str(parse_wheel_filename(wheel.filename)[1])
    digest = _digest(wheel.hashes)
    if wheel.url and digest:
        file = LockedFile(filename=_filename(wheel.filename), url=_web(wheel.url), sha256=digest)
        return LockedWheel(name=name, version=version, file=file)
    return _unknown(name, version, wheel.url, wheel.path)


def _sdist(package: Package, sdist: PackageSdist) -> LockedSource:
    name, version, digest = str(package.name), str(package.version or ""), _digest(sdist.hashes)
    if sdist.url and digest and version:
        _filename(sdist.filename)
        return LockedSource(name=name, requirement=f"{name}=={version} --hash=sha256:{digest}", hashed=True)
    return _unknown(name, version, sdist.url, sdist.path)


def _unknown(name: str, version: str, url: str | None, path: str | None) -> LockedSource:
    """Return what has no SHA-256, or lies in the source."""
    if url is None and path:
        return LockedSource(name=name, requirement=f"{name} @ {_inside(path)}")
    return LockedSource(name=name, requirement=f"{name}=={version}" if version else f"{name} @ {_address(url)}")


def _digest(hashes: Mapping[str, str]) -> str:
    digest = hashes.get("sha256", "").lower()
    if digest and not _SHA256.fullmatch(digest):
        raise _WrongError("a SHA-256 is none")
    return digest


def _filename(name: str) -> str:
    if not _FILE.fullmatch(name):
        raise _WrongError(f"{name[:100]!r} is no name of a file")
    return name


def _web(url: str) -> str:
    address = _address(upstream(url))
    if not address.startswith(("http://", "https://")):
        raise _WrongError(f"{address[:200]!r} is no address of an index")
    return address


def _address(url: str | None) -> str:
    address = (url or "").split("#", 1)[0]
    if len(address) > _MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        raise _WrongError(f"{address[:200]!r} is no address")
    parts = urlsplit(address)
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise _WrongError(f"the address of a package on {parts.hostname!r} holds a user or password")
    if parts.scheme == "file":
        raise _WrongError("a file is named by an address instead of a path")
    return address


def _repository(vcs: PackageVcs) -> str:
    if vcs.type != "git" or not vcs.url or not _COMMIT.fullmatch(vcs.commit_id):
        raise _WrongError("only git repositories can be installed from, at a commit")
    url = _address(vcs.url.removeprefix("git+"))
    return f"git+{url}@{vcs.commit_id}{_fragment({'subdirectory': _subfolder(vcs.subdirectory)})}"


def _inside(path: str, subfolder: str | None = None) -> str:
    """Return the address of a path of the source: relative ones are so to the answer's folder."""
    whole = posixpath.normpath(posixpath.join(TMP, path, _subfolder(subfolder)))
    if whole != APP and not whole.startswith(f"{APP}/"):
        raise _WrongError(f"{path[:200]!r} is not in the source")
    return f"file://{quote(whole)}"


def _subfolder(path: str | None) -> str:
    if path and (not _SUBFOLDER.fullmatch(path) or ".." in path.split("/")):
        raise _WrongError(f"{path[:200]!r} is no folder of a package")
    return path or ""


def _fragment(parts: Mapping[str, str]) -> str:
    said = "&".join(f"{name}={value}" for name, value in parts.items() if value)
    return f"#{said}" if said else ""
