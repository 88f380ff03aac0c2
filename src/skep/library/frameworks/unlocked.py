"""Python projects whose dependencies stand elsewhere than in uv.lock, [project] or requirements.txt."""

import re
from collections.abc import Iterator

from skep.kernel.errors import InvalidError
from skep.library.frameworks.documents import Table, table
from skep.product.images.model import SourceListing

REQUIREMENTS = "requirements.txt"

#: A list of requirements by another name, beside requirements.txt or in a folder for such lists.
_LIST = re.compile(r"(?:requirements?|reqs)(?:[-_./][A-Za-z0-9_-]{1,50})?\.(?:txt|in)")
#: What such a list is called that a run does not need.
_NOT_NEEDED = re.compile(r"dev|test|lint|doc|type|ci\b|build|optional|bench")
_CONDA = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml")
_INSTALL_REQUIRES = re.compile(r"^install_requires[ \t]*[=:]", re.MULTILINE)
_VERSION = r"([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.[0-9]{1,9})?"
_CARET, _TILDE, _EXACT = (re.compile(sign + _VERSION) for sign in (r"\^", "~", "(?:==)?"))
_ANY_OF = re.compile(r"(?:==)?[0-9]{1,9}(?:\.[0-9]{1,9})?\.\*")
_PEP_440 = re.compile(r"(?:[<>]=?|~=|!=)[0-9]{1,9}(?:\.[0-9]{1,9}){0,3}")


def lists(listing: SourceListing) -> list[str]:
    """Return the files that look like requirements.txt by another name, without those for development."""
    if any(file in listing.files for file in (REQUIREMENTS, "setup.py")):
        return []
    named = (path for path, size in listing.files.items() if size and _LIST.fullmatch(path))
    return sorted(path for path in named if not _NOT_NEEDED.search(path))


def check(listing: SourceListing, poetry: Table) -> None:
    """Refuse a source whose dependencies are written down where nothing is read, and so would not be installed.

    Args:
        listing: the source, of which nothing is installed.
        poetry: [tool.poetry] of its pyproject.toml.

    Raises:
        InvalidError: `lock_unsupported`.
    """
    if REQUIREMENTS in listing.files:
        return
    for file, why, what in _unread(listing, poetry):
        raise InvalidError(
            f"The dependencies are written down in {file}, {why}: nothing would be installed.",
            code="lock_unsupported",
            hint=f"{what} Where nothing is needed, add an empty {REQUIREMENTS}.",
        )


def _unread(listing: SourceListing, poetry: Table) -> Iterator[tuple[str, str, str]]:
    if depends_by_poetry(poetry):
        yield (
            "[tool.poetry] of pyproject.toml",
            "and without [build-system], or with `package-mode = false`, Poetry tells them to nobody",
            f"List them as `dependencies` of [project], which Poetry reads too, or `poetry export -o {REQUIREMENTS}`.",
        )
    if file := next((one for one in ("Pipfile", "Pipfile.lock") if one in listing.files), ""):
        yield (
            file,
            "which is Pipenv's and is not read",
            f"Run `pipenv requirements > {REQUIREMENTS}` and add that file.",
        )
    if file := next((one for one in _CONDA if one in listing.files), ""):
        yield file, "which is Conda's and is not read", f"List its packages as pip knows them in {REQUIREMENTS}."
    if _INSTALL_REQUIRES.search(listing.texts.get("setup.cfg", "")):
        yield (
            "setup.cfg",
            "without a setup.py or a [build-system] in pyproject.toml that reads it",
            "Add a setup.py with `from setuptools import setup; setup()`.",
        )
    if len(several := lists(listing)) > 1:
        yield (
            " and ".join(several[:3]),
            "and it is not known which of them counts",
            f"Add {REQUIREMENTS} with a line `-r {several[0]}` for each that is needed.",
        )


# ---- Poetry


def depends_by_poetry(poetry: Table) -> bool:
    """Tell whether [tool.poetry] names a dependency beside Python itself."""
    return any(name != "python" for name in table(poetry, "dependencies"))


def in_package_mode(poetry: Table) -> bool:
    """Tell whether Poetry makes a package of the project at all."""
    return poetry.get("package-mode") is not False


def has_package(listing: SourceListing, poetry: Table) -> bool:
    """Tell whether Poetry finds the package that it is to make: without one it refuses to."""
    if poetry.get("packages"):
        return True
    name = re.sub(r"[-.]+", "_", str(poetry.get("name", "")))
    places = tuple(f"{above}{name}{end}" for above in ("", "src/") for end in ("/", ".py"))
    return bool(name) and any(path.startswith(places) for path in listing.files)


def python_of_poetry(poetry: Table) -> str:
    """Return the versions of Python that Poetry's own words take, as PEP 440 writes them; "" where they are others."""
    said: object = table(poetry, "dependencies").get("python", "")
    if not isinstance(said, str) or len(said) > 200 or "|" in said:
        return ""
    return ",".join(filter(None, (_of_poetry(one.strip().replace(" ", "")) for one in said.split(","))))


def _of_poetry(one: str) -> str:
    if found := _CARET.fullmatch(one):
        return f">={one[1:]},<{int(found[1]) + 1}"
    if found := _TILDE.fullmatch(one):
        return f">={one[1:]},<{found[1]}.{int(found[2]) + 1}" if found[2] else f"=={found[1]}.*"
    if _EXACT.fullmatch(one):
        version = one.removeprefix("==")
        return f"=={version}.*" if version.count(".") < 2 else f"=={version}"
    if _ANY_OF.fullmatch(one):
        return f"=={one.removeprefix('==')}"
    return one if _PEP_440.fullmatch(one) else ""
