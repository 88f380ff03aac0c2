"""Packages of a Python project's own: which there are, and whether they are found only once it is installed. Pure."""

import re

from skep.product.images.model import SourceListing

#: Where a program usually starts; the first goes over the others.
ENTRIES = ("main.py", "app.py", "agent.py", "run.py")

_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\w{1,100})|import[ \t]+([\w.,\t ]{1,500}))", re.MULTILINE)
_NAME = re.compile(r"[ \t]*(\w+)")
_IN_SRC = re.compile(r"src/(\w{1,100})(?:\.py|/.*\.py)")


def wants_installing(listing: SourceListing, name: str) -> bool:
    """Tell whether `src` has the package that a project is named like, or one that its program imports.

    A program beside `src` finds it there only when the project is installed. A project of another kind may have a build
    backend by habit, which refuses to make a package of it.
    """
    own = re.sub(r"[-_.]+", "_", name).lower()
    if own and f"src/{own}/__init__.py" in listing.files:
        return True
    there = {found[1] for path in listing.files if (found := _IN_SRC.fullmatch(path))}
    return bool(there) and any(there & _imported(listing.texts.get(entry, "")) for entry in ENTRIES)


def _imported(text: str) -> set[str]:
    said = (match[1] or match[2] for match in _IMPORT.finditer(text))
    return {found[1] for names in said for one in names.split(",") if (found := _NAME.match(one))}
