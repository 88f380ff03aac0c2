"""What a Node project says of itself: package.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from skep.kernel.errors import InvalidError
from skep.library.frameworks import documents
from skep.library.frameworks.documents import Table, json_kind
from skep.product.images.model import Install, SourceListing
from skep.product.images.planning.manifests import NPM_SCRIPTS

FILE = "package.json"
READS: tuple[str, ...] = (FILE, "package-lock.json", "npm-shrinkwrap.json")

_LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
#: Locks of other programs, and what they are called.
_OTHER_LOCKS = {"yarn.lock": "Yarn", "pnpm-lock.yaml": "pnpm", "bun.lock": "Bun", "bun.lockb": "Bun"}
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies")
_HINT = "See https://docs.npmjs.com/cli/configuring-npm/package-json"
_LONGEST_RANGE = 200


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
    return Package(
        name=_text(whole, "name"),
        scripts=scripts,
        entry=entry,
        named_by=named_by,
        dependencies=dependencies,
        requires_node=_engines(whole),
        install=install,
        lock=lock,
    )


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
