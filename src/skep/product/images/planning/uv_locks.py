"""Whether a uv.lock was made for the pyproject.toml beside it. Pure.

uv's own check (`uv lock --check`) resolves anew when the lock was made with another index than the one that is set now,
and needs an index for that: it would call a good lock stale. The lock repeats the requirements that it was made for
(`package.metadata.requires-dist`); those are compared here, as far as there can be no doubt.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from skep.kernel.errors import InvalidError
from skep.product.images.planning.manifests import table, texts

_HINT = "Run `uv lock`, commit uv.lock, and deploy again."
#: Of an entry of requires-dist: it comes from somewhere else than an index, and says nothing of versions.
_SOURCES = ("git", "url", "path", "directory", "editable", "virtual")
_SHOWN = 3
#: Requirements of a project that are compared with its lock; with more it is left to uv.
_MOST_COMPARED = 3_000
#: Characters of a requirement: packages' parser of markers goes as deep as they do.
_LONGEST_REQUIREMENT = 2_000

#: Name -> versions, as often as it is asked for; none where a source of its own hides them.
Wanted = Mapping[str, frozenset[SpecifierSet]]
_HIDDEN: frozenset[SpecifierSet] = frozenset()


def check(project: Mapping[str, Any], lock: Mapping[str, Any]) -> None:
    """Raise `InvalidError(code="lock_mismatch")` if *lock* was surely made for other requirements.

    Args:
        project: pyproject.toml.
        lock: uv.lock.
    """
    declared = table(project, "project")
    name = str(declared.get("name", ""))
    if name and lock and canonicalize_name(name) not in _names(lock):
        raise InvalidError(
            f"uv.lock does not match pyproject.toml: it is another project's, without an entry for {name[:200]}.",
            code="lock_mismatch",
            hint=_HINT,
        )
    entry = _entry(lock, name)
    if entry is None or texts(declared.get("dynamic")):
        return
    asked = _asked(texts(declared.get("dependencies")), set(table(project, "tool", "uv", "sources")))
    locked = _locked(table(entry, "metadata").get("requires-dist"))
    repeats_nothing = not locked and "metadata" not in entry and "dependencies" in entry
    if asked is None or locked is None or repeats_nothing:
        return
    wrong = [name for name in sorted({*asked, *locked}) if not _same(asked.get(name), locked.get(name))]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        said = "; ".join(_said(name, asked, locked) for name in wrong[:_SHOWN])
        raise InvalidError(f"uv.lock does not match pyproject.toml: {said}{more}.", code="lock_mismatch", hint=_HINT)


def hashes(lock: Mapping[str, Any]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the name of each package that an index has, and the SHA-256 of its files."""
    for package in _packages(lock):
        wheels = package.get("wheels")
        files = [package.get("sdist"), *(cast("list[object]", wheels) if isinstance(wheels, list) else [])]
        named = {str(cast("dict[str, Any]", file).get("hash", "")) for file in files if isinstance(file, dict)}
        found = frozenset(one.removeprefix("sha256:").lower() for one in named if one.startswith("sha256:"))
        if found:
            yield canonicalize_name(str(package.get("name", ""))), found


def _packages(lock: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    packages = lock.get("package")
    found = cast("list[object]", packages) if isinstance(packages, list) else []
    return [cast("dict[str, Any]", package) for package in found if isinstance(package, dict)]


def _names(lock: Mapping[str, Any]) -> set[str]:
    return {canonicalize_name(str(package.get("name", ""))) for package in _packages(lock)}


def _entry(lock: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    wanted = canonicalize_name(name)
    for found in _packages(lock):
        source = table(found, "source")
        here = source.get("virtual") == "." or source.get("editable") == "."
        if here and canonicalize_name(str(found.get("name", ""))) == wanted:
            return found
    return None


def _asked(requirements: Sequence[str], elsewhere: set[str]) -> Wanted | None:
    names = {canonicalize_name(name) for name in elsewhere}
    found: dict[str, set[SpecifierSet]] = {}
    hidden: set[str] = set()
    if len(requirements) > _MOST_COMPARED or any(len(text) > _LONGEST_REQUIREMENT for text in requirements):
        return None
    for text in requirements:
        try:
            one = Requirement(text)
        except (ValueError, RecursionError):  # also what is no error of the parser's own: a number too long, too deep
            return None
        name = canonicalize_name(one.name)
        if one.url or name in names:
            hidden.add(name)
        found.setdefault(name, set()).add(one.specifier)
    return _wanted(found, hidden)


def _locked(value: object) -> Wanted | None:
    found: dict[str, set[SpecifierSet]] = {}
    hidden: set[str] = set()
    entries = cast("list[object]", value) if isinstance(value, list) else []
    if len(entries) > _MOST_COMPARED:
        return None
    for one in entries:
        entry = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        name, specifier, marker = entry.get("name"), entry.get("specifier", ""), entry.get("marker", "")
        if not (isinstance(name, str) and isinstance(specifier, str) and isinstance(marker, str)):
            return None
        if len(specifier) > _LONGEST_REQUIREMENT:
            return None
        if "extra ==" in marker:
            continue
        try:
            versions = SpecifierSet(specifier)
        except ValueError:  # also a number of thousands of digits
            return None
        name = canonicalize_name(name)
        if any(kind in entry for kind in _SOURCES):
            hidden.add(name)
        found.setdefault(name, set()).add(versions)
    return _wanted(found, hidden)


def _wanted(found: Mapping[str, set[SpecifierSet]], hidden: set[str]) -> Wanted:
    return {name: _HIDDEN if name in hidden else frozenset(versions) for name, versions in found.items()}


def _same(asked: frozenset[SpecifierSet] | None, locked: frozenset[SpecifierSet] | None) -> bool:
    if asked is None or locked is None:
        return False
    return asked == locked or not asked or not locked


def _said(name: str, asked: Wanted, locked: Wanted) -> str:
    if name not in locked:
        return f"{name} is asked for and not locked"
    if name not in asked:
        return f"{name} is locked and no longer asked for"
    return f"{name} is asked for as `{_shown(asked[name])}` and locked for `{_shown(locked[name])}`"


def _shown(versions: frozenset[SpecifierSet]) -> str:
    return " | ".join(sorted(str(one) or "any" for one in versions))[:200]
