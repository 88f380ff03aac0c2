"""What a Node project says of itself: package.json, and the files that name its Node."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from skep.kernel.errors import InvalidError
from skep.library.frameworks import documents
from skep.library.frameworks.documents import Table, json_kind
from skep.product.images.model import Install, SourceListing
from skep.product.images.planning.manifests import NPM_SCRIPTS

FILE = "package.json"
#: Files that name a Node for version managers.
PINS = (".nvmrc", ".node-version")
READS: tuple[str, ...] = (FILE, "package-lock.json", "npm-shrinkwrap.json", *PINS)

_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
#: Locks of other programs, and what they are called.
_OTHER_LOCKS = {"yarn.lock": "Yarn", "pnpm-lock.yaml": "pnpm", "bun.lock": "Bun", "bun.lockb": "Bun"}
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies")
_HINT = "See https://docs.npmjs.com/cli/configuring-npm/package-json"
_LONGEST_RANGE = 200
_LONGEST_PIN = 1000
_PIN = re.compile(r"(?:node-?)?v?([0-9]{1,3})(?:\.[0-9]{1,5}){0,2}|lts/([a-z]{1,20})")
#: Names of the long-term lines, as nvm takes them.
_LINES = {"gallium": "16", "hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What is known of a Node project before anything of it runs."""

    name: str = ""
    scripts: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Path of the program, of `bin` or `main`; "" if none is named.
    entry: str = ""
    #: The member that names it.
    named_by: str = ""
    dependencies: frozenset[str] = frozenset()
    #: Versions of Node, as `engines.node` writes them.
    requires_node: str = ""
    #: The file that names them, if it is another.
    pinned_by: str = ""
    install: Install
    #: The lock that says how it is installed, if there is one.
    lock: str = ""


def read(listing: SourceListing) -> Package:
    """Return what package.json and the locks beside it say.

    Raises:
        InvalidError: `project_invalid`: package.json is wrong; `lock_unsupported`: the lock is another program's.
    """
    whole = documents.json_object(listing, FILE, _HINT)
    dependencies = frozenset(name for key in _DEPENDENCIES for name in _texts(whole, key, values=False))
    scripts = _texts(whole, "scripts")
    install, lock = _install(listing, scripts, needs=bool(dependencies or whole.get("workspaces")))
    entry, named_by = _entry(whole)
    engines = _engines(whole)
    pin, pinned_by = ("", "") if engines else pinned(listing)
    return Package(
        name=_text(whole, "name"),
        scripts=scripts,
        entry=entry,
        named_by=named_by,
        dependencies=dependencies,
        requires_node=engines or pin,
        pinned_by=pinned_by,
        install=install,
        lock=lock,
    )


def pinned(listing: SourceListing) -> tuple[str, str]:
    """Return the line of Node that a file beside package.json names, and the file; what names none is passed over.

    It is the line and not the release, for of each line there is one release to be had.
    """
    for file in PINS:
        words = (line.split("#", 1)[0].strip() for line in listing.texts.get(file, "")[:_LONGEST_PIN].splitlines())
        found = _PIN.fullmatch(next((word for word in words if word), ""))
        if found and (line := found[1] or _LINES.get(found[2], "")):
            return line, file
    return "", ""


def inside(path: str, what: str) -> str:
    """Return *path* without `.` parts; `InvalidError` if it leads out of the source."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise _wrong(f"`{what}` is {path[:200]!r}; expected a file of the source")
    return "/".join(parts)


def _install(listing: SourceListing, scripts: Mapping[str, str], *, needs: bool) -> tuple[Install, str]:
    """Return how it is installed, and by which lock; *needs*: the project or a workspace of it depends on something."""
    if lock := next((file for file in _LOCKS if file in listing.files), ""):
        return Install.NPM_LOCK, lock
    other = next((file for file in _OTHER_LOCKS if file in listing.files), None)
    if other is not None and needs:
        raise InvalidError(
            f"The dependencies are locked by {other}, which is {_OTHER_LOCKS[other]}'s; only npm's locks can be used.",
            code="lock_unsupported",
            hint=f"Run `npm install --package-lock-only` and add package-lock.json to the source, or remove {other}: "
            "then npm chooses the versions.",
        )
    # Where there is nothing to fetch, npm still runs the project's own scripts of installing.
    installs = needs or any(name in scripts for name in NPM_SCRIPTS)
    return (Install.NPM if installs else Install.NOTHING), ""


def _entry(whole: Table) -> tuple[str, str]:
    said: object = whole.get("bin")
    if isinstance(said, dict) and said:
        programs = _texts(whole, "bin")
        own = _text(whole, "name").rpartition("/")[2]
        name = own if own in programs else next(iter(programs))
        return inside(programs[name], f"bin.{name[:80]}"), f"bin {name[:80]} of {FILE}"
    if isinstance(said, str):
        return inside(said, "bin"), f"bin of {FILE}"
    if main := _text(whole, "main"):
        return inside(main, "main"), f"main of {FILE}"
    return "", ""


def _engines(whole: Table) -> str:
    engines: object = whole.get("engines", {})
    node: object = cast("dict[str, object]", engines).get("node", "") if isinstance(engines, dict) else ""
    if not isinstance(node, str) or len(node) > _LONGEST_RANGE:
        raise _wrong(f"`engines.node` is {json_kind(node)}; expected a text like >=22")
    return "" if node.strip() in ("*", "x", "latest") else node.strip()


def _text(whole: Table, key: str) -> str:
    value: object = whole.get(key, "")
    if not isinstance(value, str):
        raise _wrong(f"`{key}` is {json_kind(value)}; expected a text")
    return value


def _texts(whole: Table, key: str, *, values: bool = True) -> dict[str, str]:
    said: object = whole.get(key, {})
    if not isinstance(said, dict):
        raise _wrong(f"`{key}` is {json_kind(said)}; expected an object")
    found = cast("dict[str, object]", said)
    for name, value in found.items():
        if values and not isinstance(value, str):
            raise _wrong(f"`{key}.{name[:80]}` is {json_kind(value)}; expected a text")
    return cast("dict[str, str]", found)


def _wrong(why: str) -> InvalidError:
    return documents.wrong(FILE, why, _HINT)
