"""Why a source with programs in Python is none that is known, and what its owner can choose. Pure."""

import re
from collections.abc import Iterator

from skep.library.frameworks import packages
from skep.library.frameworks.documents import table
from skep.library.frameworks.pyproject import Project
from skep.product.images.model import SourceListing

_SHOWN = 5
_PROGRAM = re.compile(r"(?:src/)?[A-Za-z_][\w-]{0,99}\.py")
#: Files that are no program of an agent's.
_NOT_MEANT = re.compile(r"(?:.*/)?(?:setup|conftest|noxfile|tasks|test_.*|.*_test|__init__|__main__)\.py")
_ENTRY_POINT = re.compile(
    r"""^[ \t"'\[(]*([A-Za-z0-9][\w.-]{0,99})[ \t]*=[ \t]*[\w.]{1,200}:[\w.]{1,200}""", re.MULTILINE
)
_CONSOLE = re.compile(r"console_scripts[^=:]{0,20}[=:]")


def why_not(listing: SourceListing, project: Project) -> str:
    """Return one sentence; "" for a source without such programs."""
    return next(_reasons(listing, project), "")


def _reasons(listing: SourceListing, project: Project) -> Iterator[str]:
    poetry = table(project.tool, "poetry")
    if table(poetry, "scripts"):
        yield (
            "[tool.poetry.scripts] counts only where Poetry makes a package: with [build-system], the folder of the "
            "package, and no `package-mode = false`"
        )
    if names := _entry_points(listing):
        yield f"the scripts of setup.py and setup.cfg are not looked for: {_choose(names)}"
    if (started := packages.with_main(listing)) and not packages.entries(listing):
        yield f"a package is started if it is the only one, and installed: {_choose([_module(one) for one in started])}"
    if programs := _programs(listing):
        yield f"which program is the agent is not known: {_choose([f'python {file}' for file in programs])}"


def _entry_points(listing: SourceListing) -> list[str]:
    """Return the names of the scripts that setuptools makes, as far as they stand there word by word."""
    found: dict[str, None] = {}
    for file in ("setup.py", "setup.cfg"):
        text = listing.texts.get(file, "")
        if console := _CONSOLE.search(text):
            found |= dict.fromkeys(_ENTRY_POINT.findall(text[console.end() :]))
    return list(found)


def _module(folder: str) -> str:
    name = folder.removeprefix("src/")
    return f"python -m {name}" if name == folder else f"env PYTHONPATH=src python3 -m {name}"


def _programs(listing: SourceListing) -> list[str]:
    """Return the programs of the root, else those of `src`, the usual ones first."""
    files = [path for path in listing.files if _PROGRAM.fullmatch(path) and not _NOT_MEANT.fullmatch(path)]
    least = min((path.count("/") for path in files), default=0)
    return sorted((path for path in files if path.count("/") == least), key=_by_use)


def _by_use(path: str) -> tuple[bool, str]:
    return path.rpartition("/")[2] not in packages.ENTRIES, path


def _choose(commands: list[str]) -> str:
    """Say how one of *commands* is chosen."""
    first, *others = commands[:_SHOWN]
    return f'choose: --command "{first}"' + (f" (or {', '.join(others)})" if others else "")
