"""Node projects, TypeScript too: package.json says how they are started."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from skep.library.frameworks import package_json
from skep.library.frameworks.package_json import FILE, Package
from skep.product.images.model import Install, Language, Recognised, SourceListing

#: Where a program starts that package.json does not name.
ENTRIES = ("index.js", "index.mjs", "index.cjs", "index.ts", "index.mts", "src/index.ts", "src/index.js")
_START = ("npm", "run", "--silent", "start")
_BUILD = ("npm", "run", "build")
_TYPESCRIPT = (".ts", ".mts", ".cts")
#: What makes a script more than one command with its arguments.
_SHELL = re.compile(r"[;&|<>$`\\\n(){}*?]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
#: Options of Node whose value may be the next word.
_WITH_VALUE = ("-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file")
#: Options after which there is no file.
_WITHOUT_FILE = ("-e", "--eval", "-p", "--print", "-pe", "--test", "--run")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    command: tuple[str, ...]
    evidence: str
    #: The program's file; "" if only npm, or what it calls, knows it.
    file: str = ""


class NodeFramework:
    """Recognises package.json with something to start."""

    name = "node"
    order = 910
    reads: tuple[str, ...] = package_json.READS
    looks_for = f"a {FILE} with a script `start`, `bin` or `main`, or an index.js, index.ts or src/index.ts beside it"

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Return how the project is installed, made ready and started, or None if it is no Node project.

        Raises:
            InvalidError: `project_invalid`: package.json is wrong; `lock_unsupported`: the lock is another program's.
        """
        if FILE not in listing.files:
            return None
        package = package_json.read(listing)
        found = _start(listing, package)
        if found is None:
            return None
        return Recognised(
            framework=self.name,
            evidence=tuple(filter(None, (found.evidence, package.lock, package.pinned_by))),
            command=found.command,
            install=package.install,
            language=Language.NODE,
            requires_node=package.requires_node,
            prepare=(_BUILD,) if _is_built(listing, package, found.file) else (),
        )


def installation(listing: SourceListing) -> tuple[Install, str]:
    """Return how a Node project is installed, and the Node that it takes; without a package.json nothing is.

    Raises:
        InvalidError: `project_invalid`, `lock_unsupported`.
    """
    if FILE not in listing.files:
        return Install.NOTHING, package_json.pinned(listing)[0]
    package = package_json.read(listing)
    return package.install, package.requires_node


def _start(listing: SourceListing, package: Package) -> _Start | None:
    if "start" in package.scripts:
        file = _file_of(package.scripts["start"])
        return _Start(command=_START, evidence=f"script start of {FILE}", file=file)
    if package.entry and (file := _there(listing, package.entry)):
        return _Start(command=("node", file), evidence=package.named_by, file=file)
    if package.entry and "build" in package.scripts:
        # It is not there yet: the build makes it.
        return _Start(command=("node", package.entry), evidence=package.named_by, file=package.entry)
    file = next((one for one in ENTRIES if one in listing.files), None)
    return None if file is None else _Start(command=("node", file), evidence=f"{file} beside {FILE}", file=file)


def _there(listing: SourceListing, entry: str) -> str | None:
    """Return the file that Node finds for *entry*, which may lack its ending or be a folder."""
    return next((one for one in (entry, f"{entry}.js", f"{entry}/index.js") if one in listing.files), None)


def _file_of(script: str) -> str:
    """Return the file of the source that a script starts by `node [options] FILE`; "" if it is any other script."""
    try:
        words = [] if _SHELL.search(script) else shlex.split(script)
    except ValueError:
        return ""
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if words[:1] != ["node"]:
        return ""
    words = words[1:]
    while words and words[0].startswith("-"):
        if words[0] in _WITHOUT_FILE:
            return ""
        words = words[2 if words[0] in _WITH_VALUE else 1 :]
    parts = [part for part in words[0].split("/") if part not in ("", ".")] if words else []
    return "" if not parts or ".." in parts or words[0].startswith("/") else "/".join(parts)


def _is_built(listing: SourceListing, package: Package, file: str) -> bool:
    """Tell whether the script `build` has to run before the start: for TypeScript, and for a file that it makes."""
    if "build" not in package.scripts:
        return False
    signs: Sequence[bool] = (
        "tsconfig.json" in listing.files,
        "typescript" in package.dependencies,
        file.endswith(_TYPESCRIPT),
        bool(file) and _there(listing, file) is None,
    )
    return any(signs)
