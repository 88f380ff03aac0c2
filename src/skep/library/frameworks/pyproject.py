"""What a Python project says of itself: pyproject.toml, requirements.txt, uv.lock."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from skep.kernel.errors import InvalidError
from skep.library.frameworks import documents
from skep.library.frameworks.documents import Table, table, texts
from skep.product.images.model import Install, SourceListing

FILE = "pyproject.toml"
#: Files that `read` looks into.
READS: tuple[str, ...] = (FILE, "requirements.txt", "uv.lock")

#: Characters of a lock that is looked into.
_LONGEST_LOCK = 256 * 1024
_SCRIPT_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_REQUIREMENT_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]{0,99})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What is known of a Python project before anything of it runs."""

    name: str = ""
    requires_python: str = ""
    #: Name -> "module:function", as in [project.scripts].
    scripts: Mapping[str, str] = field(default_factory=dict[str, str])
    install: Install
    #: The files that said how it is installed.
    decided_by: tuple[str, ...]
    #: Names, normalised, of what it depends on by its own word.
    dependencies: Mapping[str, str] = field(default_factory=dict[str, str])
    tool: Table = field(default_factory=dict[str, Any])


def read(listing: SourceListing) -> Project:
    """Return what the source's files say.

    Raises:
        InvalidError: pyproject.toml is wrong.
    """
    whole = documents.toml(listing, FILE)
    project = _project(whole)
    scripts = _scripts(project)
    install, decided_by = _install(listing, project, scripts)
    return Project(
        name=_text(project, "name"),
        requires_python=_text(project, "requires-python"),
        scripts=scripts,
        install=install,
        decided_by=decided_by,
        dependencies=dict(_dependencies(listing, whole, project)),
        tool=table(whole, "tool"),
    )


def normalise(name: str) -> str:
    """Return the name of a package as packages are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _install(listing: SourceListing, project: Table, scripts: Mapping[str, str]) -> tuple[Install, tuple[str, ...]]:
    if "uv.lock" in listing.files and FILE in listing.files:
        return Install.UV_LOCK, ("uv.lock",)
    if scripts or project.get("dependencies") or "dependencies" in project.get("dynamic", []):
        return Install.PYPROJECT, (FILE,)
    if listing.files.get("requirements.txt", 0) > 0:
        return Install.REQUIREMENTS, ("requirements.txt",)
    return Install.NOTHING, ()


def _project(whole: Table) -> Table:
    project = whole.get("project", {})
    if not isinstance(project, dict):
        raise _wrong("[project] is no table")
    found = cast("dict[str, Any]", project)
    for key in ("dependencies", "dynamic"):
        value = found.get(key, [])
        if not isinstance(value, list) or len(texts(cast("object", value))) != len(cast("list[object]", value)):
            raise _wrong(f"project.{key} is no list of texts")
    return found


def _scripts(project: Table) -> dict[str, str]:
    scripts: object = project.get("scripts", {})
    if not isinstance(scripts, dict):
        raise _wrong("[project.scripts] is no table")
    found = cast("dict[str, object]", scripts)
    for name, target in found.items():
        if not isinstance(target, str) or not _SCRIPT_NAME.fullmatch(name) or name in (".", ".."):
            raise _wrong(f"the script {name[:80]!r} in [project.scripts] is not NAME = 'module:function'")
    return cast("dict[str, str]", found)


def _text(project: Table, key: str) -> str:
    value = project.get(key, "")
    if not isinstance(value, str):
        raise _wrong(f"project.{key} is no text")
    return value


def _wrong(why: str) -> InvalidError:
    return documents.wrong(FILE, why, documents.PYPROJECT_HINT)


def _dependencies(listing: SourceListing, whole: Table, project: Table) -> Iterator[tuple[str, str]]:
    """Yield the name of each direct dependency and the file that names it; the file that says it best comes last."""
    lock = listing.texts.get("uv.lock", "")
    if 0 < len(lock) <= _LONGEST_LOCK and FILE in listing.files and not project.get("dependencies"):
        # pyproject.toml says it itself in most projects; a lock is long.
        yield from ((name, "uv.lock") for name in _locked(listing))
    lines = listing.texts.get("requirements.txt", "").splitlines()
    groups = [texts(group) for group in table(whole, "dependency-groups").values()]
    extras = [texts(group) for group in table(project, "optional-dependencies").values()]
    poetry = table(table(table(whole, "tool"), "poetry"), "dependencies")
    named = [*texts(project.get("dependencies")), *poetry, *(one for group in (*groups, *extras) for one in group)]
    for file, requirements in (("requirements.txt", lines), (FILE, named)):
        for requirement in requirements:
            if found := _REQUIREMENT_NAME.match(requirement):
                yield normalise(found[1]), file


def _locked(listing: SourceListing) -> Iterator[str]:
    """Yield what the lock says that the project itself depends on; a lock that cannot be read is uv's to refuse."""
    try:
        packages: object = documents.toml(listing, "uv.lock").get("package")
    except InvalidError:
        return
    for package in cast("list[object]", packages) if isinstance(packages, list) else ():
        if not isinstance(package, dict):
            continue
        found = cast("dict[str, Any]", package)
        if {"virtual", "editable", "directory"} & table(found, "source").keys():
            listed: object = found.get("dependencies")
            for one in cast("list[object]", listed) if isinstance(listed, list) else ():
                name = cast("dict[str, object]", one).get("name") if isinstance(one, dict) else None
                if isinstance(name, str):
                    yield normalise(name[:100])
