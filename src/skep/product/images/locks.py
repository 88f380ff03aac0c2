"""Which files exactly a source depends on: how that is found out, and what the answer says. Pure.

The answer (pylock.toml, PEP 751) is written in a sandbox beside a user's source: it is read with suspicion. What it
leads to is named by SHA-256 throughout, so that a wrong answer harms only who gave it.
"""

from dataclasses import dataclass

from skep.product.gateway.model import LockedFile
from skep.product.images.base import Base
from skep.product.images.model import Failure, Recognised, SourceListing
from skep.product.images.steps import LockStep

#: Characters of an answer; a hundred packages take a tenth of that.
MAX_ANSWER = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedWheel:
    """A wheel that is installed by its hash; no code of it runs while that is done."""

    name: str
    version: str
    file: LockedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedSource:
    """A package that runs code when it is installed, or whose content is not known before."""

    name: str
    #: As a line of a requirements file: `name==1.0 --hash=sha256:...`, `name @ git+https://...@commit`, `./folder`.
    requirement: str
    #: Hash-checked: a source distribution of an index.
    hashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All that a source depends on, sorted by name."""

    wheels: tuple[LockedWheel, ...] = ()
    sources: tuple[LockedSource, ...] = ()


def lock_step(listing: SourceListing, recognised: Recognised, base: Base, project_id: str) -> LockStep | None:
    """Return how it is found out which files *listing* depends on, or None if there is nothing to find out.

    Raises:
        InvalidError: `project_invalid`, `python_unavailable`.
    """
    raise NotImplementedError


def parse(text: str, base: Base, python: str) -> Lock:
    """Read the answer of a `LockStep`.

    Args:
        text: pylock.toml; untrusted, at most `MAX_ANSWER` characters.
        base: whose platform the files have to fit.
        python: version of the Python that they are for (`LockStep.python`).

    Raises:
        InvalidError: `lock_invalid`; the message says what is wrong.
    """
    raise NotImplementedError


def failure(step: LockStep, words: str, refusal: str = "") -> Failure:
    """Say what the last *words* of a failed command of *step* mean; *refusal* is what the door had to say."""
    raise NotImplementedError
