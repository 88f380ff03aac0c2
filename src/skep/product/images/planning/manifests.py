"""What a build needs to know of a project's own files, beside what a framework makes of them. Pure."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

from skep.kernel import bounded_toml
from skep.kernel.errors import InvalidError
from skep.product.images.fetch.inside import MAX_TEXT
from skep.product.images.model import Install, SourceListing

#: What decides how Python's dependencies are resolved, as long as nothing in it leads to other files.
PYTHON_FILES = ("pyproject.toml", "uv.lock", "uv.toml", "requirements.txt", ".python-version")
#: The same for npm.
NPM_FILES = ("package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc")

#: A requirement that is a plain name with extras, versions and markers: nothing in it leads to another file.
#: No two repeats that take the same characters may follow each other: such a pair takes hours for one long line.
_PLAIN_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\]\s*)?(?:[<>=!~(;].*)?")
#: Scripts of package.json that npm runs while it installs.
NPM_SCRIPTS = ("preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare")
#: Of an entry of npm's lock: where its file lies.
_RESOLVED = re.compile(r'"resolved"\s*:\s*"([^"\\]{1,2000})"')
#: Such an address, if a registry gave it: its host in front.
_OF_A_REGISTRY = re.compile(r"https?://([A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?/[^?#]*/-/")
_NPM_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


def pyproject(listing: SourceListing) -> Mapping[str, Any]:
    """Return pyproject.toml; empty without one.

    Raises:
        InvalidError: `project_invalid`.
    """
    try:
        return bounded_toml.loads(listing.texts.get("pyproject.toml", ""), limit=MAX_TEXT)
    except bounded_toml.TomlError as error:
        raise InvalidError(f"pyproject.toml is wrong: {error}.", code="project_invalid") from error


def table(parent: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the table at *path*; empty where there is none."""
    for name in path:
        value = parent.get(name)
        parent = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return parent


def texts(value: object) -> list[str]:
    """Return the texts of a list; whatever else there is, is left out."""
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [one for one in found if isinstance(one, str)]


def is_packaged(install: Install, project: Mapping[str, Any]) -> bool:
    """Tell whether the project itself is installed, beside its dependencies."""
    if install not in (Install.UV_LOCK, Install.PYPROJECT):
        return False
    return "build-system" in project or bool(table(project, "project").get("scripts"))


def hashes(listing: SourceListing, names: tuple[str, ...]) -> dict[str, str]:
    """Return the hashes of those of *names* that are there."""
    return {name: digest for name, digest in sorted(listing.hashes.items()) if name in names}


def python_leads_elsewhere(listing: SourceListing, install: Install, project: Mapping[str, Any]) -> bool:
    """Tell whether what is installed depends on more files than `PYTHON_FILES`."""
    if install is Install.NOTHING:
        return False
    if install is Install.REQUIREMENTS:
        text = listing.texts.get("requirements.txt")
        return text is None or not all(_is_plain(line) for line in text.splitlines())
    uv, declared = table(project, "tool", "uv"), table(project, "project")
    leads = uv.get("sources") or uv.get("workspace") or declared.get("dynamic")
    return bool(leads) or not all(_is_plain(line) for line in texts(declared.get("dependencies")))


def npm_leads_elsewhere(listing: SourceListing) -> bool:
    """Tell whether what npm installs depends on more files than `NPM_FILES`: workspaces, folders, scripts.

    Scripts of packages may read what lies beside them, as a generator reads its schema.
    """
    found = _json(listing.texts.get("package.json"))
    if found is None or "binding.gyp" in listing.files:
        return True
    if found.get("workspaces") or any(name in table(found, "scripts") for name in NPM_SCRIPTS):
        return True
    specs = [spec for kind in _NPM_DEPENDENCIES for spec in table(found, kind).values()]
    if specs and _may_run_scripts(listing):
        return True
    return not all(isinstance(spec, str) and not _is_path(spec) for spec in specs)


def npm_registrys_host(listing: SourceListing) -> str:
    """Return which host of a lock stands for the registry: "always" for all of them, else the one.

    A lock names its registry's files by their addresses, and may have been made with another registry. Only where it
    names files of other places, too, their hosts must stay what they are.
    """
    addresses: list[str] = _RESOLVED.findall(_npm_lock(listing) or "")
    hosts = Counter(match[1] for match in map(_OF_A_REGISTRY.match, addresses) if match)
    if hosts.total() == len(addresses):
        return "always"
    return hosts.most_common(1)[0][0] if hosts else "npmjs"


def _may_run_scripts(listing: SourceListing) -> bool:
    """Tell whether a package may have scripts that run while it is installed: only npm's newer locks deny it."""
    packages = (_json(_npm_lock(listing)) or {}).get("packages")
    if not isinstance(packages, dict):
        return True
    entries = cast("dict[str, object]", packages).values()
    return any(_has_scripts(cast("dict[str, Any]", entry)) for entry in entries if isinstance(entry, dict))


def _has_scripts(package: Mapping[str, Any]) -> bool:
    systems = texts(package.get("os"))
    here = not systems or "linux" in systems or any(one.startswith("!") and one != "!linux" for one in systems)
    return here and bool(package.get("hasInstallScript"))


def _npm_lock(listing: SourceListing) -> str | None:
    """Return the text of the lock that npm takes; None where there is none, or it is too large."""
    name = next((name for name in ("npm-shrinkwrap.json", "package-lock.json") if name in listing.files), "")
    return listing.texts.get(name)


def _json(text: str | None) -> dict[str, Any] | None:
    """Return an object; None where there is none."""
    try:
        found: Any = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _is_path(spec: str) -> bool:
    return spec.startswith(("file:", "link:", ".", "/", "~/")) or spec.endswith((".tgz", ".tar.gz", ".tar"))


def _is_plain(line: str) -> bool:
    line = line.split("#", 1)[0].rstrip().removesuffix("\\").strip()
    return not line or line.startswith("--hash=") or _PLAIN_REQUIREMENT.fullmatch(line) is not None
