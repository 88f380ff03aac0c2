"""What a Python project says of itself: pyproject.toml, requirements.txt, uv.lock."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from skep.kernel.errors import InvalidError
from skep.library.frameworks import documents, packages, unlocked
from skep.library.frameworks.documents import Table, table, texts
from skep.product.images.model import Install, SourceListing
from skep.product.images.planning import manifests

FILE = "pyproject.toml"
#: Files that `read` looks into.
READS: tuple[str, ...] = (FILE, "requirements.txt", "uv.lock", "setup.cfg", "setup.py", *packages.ENTRIES)

#: Of requirements.txt; one that is compiled with hashes for a large framework has some thousands.
_MOST_LINES = 50_000
#: Characters of a lock that is looked into.
_LONGEST_LOCK = 256 * 1024
#: Locks of other programs, which are passed over.
_OTHER_LOCKS = ("poetry.lock", "pdm.lock")
_SHOWN = 5
_DECIDED = {
    Install.UV_LOCK: "uv.lock",
    Install.PYPROJECT: FILE,
    Install.REQUIREMENTS: unlocked.REQUIREMENTS,
}
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
    #: Whether it is installed itself, beside what it depends on.
    packaged: bool = False
    #: Further files of requirements.
    requirement_files: tuple[str, ...] = ()
    #: The files that said how it is installed.
    decided_by: tuple[str, ...]
    #: Names, normalised, of what it depends on by its own word.
    dependencies: Mapping[str, str] = field(default_factory=dict[str, str])
    tool: Table = field(default_factory=dict[str, Any])
    #: What its owner should know of how it is installed.
    notices: tuple[str, ...] = ()

    @property
    def installs(self) -> bool:
        """Tell whether there is anything to install."""
        return self.install is not Install.NOTHING or bool(self.requirement_files)


def read(listing: SourceListing) -> Project:
    """Return what the source's files say.

    Raises:
        InvalidError: pyproject.toml is wrong.
    """
    whole = documents.toml(listing, FILE)
    project = _project(whole)
    tool = table(whole, "tool")
    scripts = _scripts(project) or _scripts_of_poetry(listing, whole)
    install, files = _install(listing, whole, project, scripts)
    decided_by = (*filter(None, (_DECIDED.get(install, ""),)), *files)
    if install is Install.PACKAGE:
        decided_by = tuple(file for file in ("setup.py", "setup.cfg") if file in listing.files)[:1]
    dependencies = dict(_dependencies(listing, whole, project))
    return Project(
        name=_text(project, "name"),
        requires_python=_text(project, "requires-python") or unlocked.python_of_poetry(table(tool, "poetry")),
        scripts=scripts,
        install=install,
        packaged=install is Install.PACKAGE or manifests.is_packaged(install, whole),
        requirement_files=files,
        decided_by=decided_by,
        dependencies=dependencies,
        tool=tool,
        notices=tuple(_notices(listing, decided_by, dependencies)),
    )


def check(listing: SourceListing, project: Project) -> None:
    """Refuse a *project* of which nothing would be installed, though it says somewhere what it needs.

    Raises:
        InvalidError: `lock_unsupported`.
    """
    if not project.installs:
        unlocked.check(listing, table(project.tool, "poetry"))


def normalise(name: str) -> str:
    """Return the name of a package as packages are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def depends(project: Table) -> bool:
    """Tell whether [project] says what it depends on, if only that its build backend knows."""
    return bool(project.get("dependencies")) or "dependencies" in texts(project.get("dynamic"))


def _install(
    listing: SourceListing, whole: Table, project: Table, scripts: Mapping[str, str]
) -> tuple[Install, tuple[str, ...]]:
    """Return how it is installed, and further files of requirements."""
    poetry = table(table(whole, "tool"), "poetry")
    if "uv.lock" in listing.files and FILE in listing.files:
        return Install.UV_LOCK, ()
    if depends(project):
        # What is no package for Poetry cannot be installed as one: only what it depends on is.
        return (Install.PYPROJECT, ()) if unlocked.in_package_mode(poetry) else (Install.NOTHING, (FILE,))
    files = (unlocked.REQUIREMENTS,) if listing.files.get(unlocked.REQUIREMENTS, 0) else ()
    if scripts or (files and _is_package(listing, whole, project)):
        return Install.PYPROJECT, files
    return (Install.REQUIREMENTS, ()) if files else _elsewhere(listing, whole, project, poetry)


def _is_package(listing: SourceListing, whole: Table, project: Table) -> bool:
    """Tell whether a project that depends on nothing has to be installed itself."""
    tool = table(whole, "tool")
    is_none = table(tool, "uv").get("package") is False or not unlocked.in_package_mode(table(tool, "poetry"))
    if is_none or not project or "build-system" not in whole:
        return False
    return packages.wants_installing(listing, _text(project, "name"))


def _elsewhere(listing: SourceListing, whole: Table, project: Table, poetry: Table) -> tuple[Install, tuple[str, ...]]:
    """Return the same for a source that has neither dependencies of its [project] nor requirements.txt."""
    builds = "build-system" in whole
    if builds and unlocked.depends_by_poetry(poetry) and unlocked.in_package_mode(poetry):
        return (Install.PYPROJECT, ()) if unlocked.has_package(listing, poetry) else (Install.NOTHING, (FILE,))
    if "setup.py" in listing.files or (builds and not project and "setup.cfg" in listing.files):
        return Install.PACKAGE, ()
    named = unlocked.lists(listing)
    install = Install.PYPROJECT if _is_package(listing, whole, project) else Install.NOTHING
    return install, tuple(named) if len(named) == 1 else ()


def _notices(listing: SourceListing, decided_by: tuple[str, ...], dependencies: Mapping[str, str]) -> Iterator[str]:
    if FILE in decided_by:
        for lock in _OTHER_LOCKS:
            if lock in listing.files:
                yield f"{lock} is not read: versions are chosen by {FILE}; a uv.lock (`uv lock`) would be"
    named = [name for name, file in dependencies.items() if file == unlocked.REQUIREMENTS]
    if decided_by == (FILE,) and named and listing.files.get(unlocked.REQUIREMENTS, 0):
        yield (
            f"{unlocked.REQUIREMENTS} is not read, because {FILE} says what is needed: "
            f"{', '.join(named[:_SHOWN])} stands in the former only"
        )


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


def _scripts_of_poetry(listing: SourceListing, whole: Table) -> dict[str, str]:
    """Return the same of Poetry's own table, which its build backend heeds where it makes a package at all."""
    poetry = table(table(whole, "tool"), "poetry")
    makes = "build-system" in whole and unlocked.in_package_mode(poetry) and unlocked.has_package(listing, poetry)
    said = table(poetry, "scripts").items() if makes else ()
    return {name: target for name, target in said if isinstance(target, str) and _SCRIPT_NAME.fullmatch(name)}


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
    lines = listing.texts.get("requirements.txt", "").splitlines()[:_MOST_LINES]
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
