"""Which Python a project gets: the machine's own if it fits, else a copy. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from skep.kernel.errors import InvalidError
from skep.product.images.model import Recognised, SourceListing
from skep.product.images.planning.base import Base, Runtime
from skep.product.images.planning.places import PYTHON

WISH = ".python-version"
MACHINES = "the machine's"
_HINT = (
    "Change what the project asks for, or have the operator set SKEP_PYTHON_MIRROR or SKEP_PYTHON_DOWNLOADS "
    "(see docs/settings.md)."
)
_SHOWN = 8
#: Characters of a wish, and of a demand: what is longer is no version that people write.
_LONGEST_WISH = 100
_LONGEST_DEMAND = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The Python that an agent has."""

    #: "3.11.2".
    version: str
    #: Absolute path inside.
    path: str
    #: None: the machine's own.
    runtime: Runtime | None = None

    @property
    def minor(self) -> str:
        """Return "3.11"."""
        return ".".join(self.version.split(".")[:2])

    def __str__(self) -> str:
        return f"Python {self.version} ({self.runtime.origin if self.runtime else MACHINES})"


def choose(listing: SourceListing, recognised: Recognised, base: Base) -> Interpreter:
    """Return the machine's Python if requires-python and `.python-version` take it, else a copy that they take.

    Of the copies it is the one nearest to the machine's, rather above than below, for it has wheels and is looked
    after; in its newest release.

    Raises:
        InvalidError: `project_invalid`: what the project asks for cannot be read; `python_unavailable`.
    """
    demand = _demand(recognised)
    wish = _wish(listing)
    if _fits(base.python, demand, wish):
        return Interpreter(version=base.python, path=PYTHON)
    copies = [copy for copy in base.runtimes.pythons() if _fits(copy.version, demand, wish)]
    if not copies:
        raise _unavailable(recognised, listing, base)
    above = [copy for copy in copies if _release(copy.version) > _release(base.python)]
    minor = min(map(_minor, above)) if above else max(map(_minor, copies))
    best = max((copy for copy in copies if _minor(copy) == minor), key=lambda copy: _release(copy.version))
    return Interpreter(version=best.version, path=f"{best.folder}/bin/python3", runtime=best)


def reason(listing: SourceListing) -> str:
    """Return the file that chooses among the Pythons which the project takes; "" if there is none."""
    return WISH if len(_wish(listing)) else ""


def _demand(recognised: Recognised) -> SpecifierSet:
    try:
        if len(recognised.requires_python) > _LONGEST_DEMAND:
            raise InvalidSpecifier(f"it has more than {_LONGEST_DEMAND} characters")
        return SpecifierSet(recognised.requires_python)
    except ValueError as error:  # also a number of thousands of digits, which is no specifier's own error
        raise InvalidError(
            f"requires-python is wrong: {recognised.requires_python[:100]!r}.", code="project_invalid"
        ) from error


def _wish(listing: SourceListing) -> SpecifierSet:
    """Read `.python-version` as far as it is a version; what else pyenv takes (a name, PyPy) is no wish to us."""
    lines = (line.split("#", 1)[0].strip() for line in listing.texts.get(WISH, "").splitlines())
    text = next((line for line in lines if line), "").removeprefix("cpython@").removeprefix("python-")
    try:
        version = Version(text[: _LONGEST_WISH + 1])
    except InvalidVersion:
        return SpecifierSet()
    if len(text) > _LONGEST_WISH:
        raise InvalidError(f"{WISH} is wrong: {text[:100]!r} is no version of Python.", code="project_invalid")
    whole = len(version.release) > 2 or str(version) != version.base_version
    return SpecifierSet(f"=={version}" if whole else f"=={version}.*")


def _fits(python: str, *wanted: SpecifierSet) -> bool:
    try:
        version = Version(python)
    except InvalidVersion:
        return False
    return all(one.contains(version, prereleases=True) for one in wanted)


def _release(version: str) -> tuple[int, ...]:
    return Version(version).release


def _minor(copy: Runtime) -> tuple[int, ...]:
    return _release(copy.version)[:2]


def _unavailable(recognised: Recognised, listing: SourceListing, base: Base) -> InvalidError:
    asked = [recognised.requires_python[:100]] if recognised.requires_python else []
    if len(wish := _wish(listing)):
        asked.append(f"{wish} ({WISH})")
    copies = _minors([copy.version for copy in base.runtimes.pythons()])
    also = f", and copies of {', '.join(copies[:_SHOWN])} can be had" if copies else "; no copies of others can be had"
    return InvalidError(
        f"The project wants Python {' and '.join(asked)}; sandboxes here have {base.python}{also}.",
        code="python_unavailable",
        hint=_HINT,
    )


def _minors(versions: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(".".join(version.split(".")[:2]) for version in versions))
