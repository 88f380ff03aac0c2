"""Packages of a Python project's own: which there are, and whether they are found only once it is installed. Pure."""

import re

from skep.product.images.model import SourceListing

#: Where a program usually starts; the first goes over the others.
ENTRIES = ("main.py", "app.py", "agent.py", "run.py")

_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\w{1,100})|import[ \t]+([\w.,\t ]{1,500}))", re.MULTILINE)
_NAME = re.compile(r"[ \t]*(\w+)")
_WITH_MAIN = re.compile(r"((?:src/)?[A-Za-z_]\w{0,99})/__main__\.py")
#: Folders that are no agent's, whatever can be started in them.
_NOT_MEANT = ("tests", "test", "docs", "examples", "scripts", "tools", "src")
_IN_SRC = re.compile(r"src/(\w{1,100})(?:\.py|/.*\.py)")


def with_main(listing: SourceListing) -> list[str]:
    """Return the folders of packages that `python -m` starts: "src/bees", "bees"."""
    folders = (found[1] for path in listing.files if (found := _WITH_MAIN.fullmatch(path)))
    return sorted(folder for folder in folders if folder not in _NOT_MEANT)


def entries(listing: SourceListing) -> list[str]:
    """Return the files where a program usually starts, the one that goes over the others first."""
    return [entry for entry in ENTRIES if entry in listing.files]


def wants_installing(listing: SourceListing, name: str) -> bool:
    """Tell whether `src` has the package that a project is named like, one that its program imports, or is.

    A program beside `src` finds it there only when the project is installed. A project of another kind may have a build
    backend by habit, which refuses to make a package of it.
    """
    own = re.sub(r"[-_.]+", "_", name).lower()
    if own and f"src/{own}/__init__.py" in listing.files:
        return True
    if not entries(listing) and len(started := with_main(listing)) == 1:
        return started[0].startswith("src/")
    there = {found[1] for path in listing.files if (found := _IN_SRC.fullmatch(path))}
    return bool(there) and any(there & _imported(listing.texts.get(entry, "")) for entry in ENTRIES)


def _imported(text: str) -> set[str]:
    said = (match[1] or match[2] for match in _IMPORT.finditer(text))
    return {found[1] for names in said for one in names.split(",") if (found := _NAME.match(one))}
