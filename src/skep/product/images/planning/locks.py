"""Which files exactly a source depends on: how that is found out, and why it could not be. Pure.

The commands run beside the source, as the agent's user; their answer is read by `pylock`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from skep.kernel import bounded_toml
from skep.product.images import failures, installers
from skep.product.images.environment import LOCKING
from skep.product.images.fetch.inside import MAX_LOCK_TEXT
from skep.product.images.model import Failure, Install, Language, Recognised, SourceListing
from skep.product.images.planning import further_files, manifests, pythons, uv_locks
from skep.product.images.planning.base import Base
from skep.product.images.planning.keys import key
from skep.product.images.planning.places import TMP, UV
from skep.product.images.planning.pylock import MAX_ANSWER, Lock, LockedSource, LockedWheel, parse
from skep.product.images.planning.pythons import Interpreter
from skep.product.images.planning.steps import LockStep, Reach

__all__ = ["MAX_ANSWER", "Lock", "LockedSource", "LockedWheel", "failure", "lock_step", "parse"]

#: uv takes no other name.
ANSWER = f"{TMP}/pylock.toml"
_EXPORTED = f"{TMP}/skep-locked.txt"
_ADDED = f"{TMP}/skep-requirements.txt"
_FROZEN = ("--frozen", "--no-dev", "--no-emit-project", "--quiet")
_HASHED = ("--format", "pylock.toml", "--generate-hashes", "--quiet", "--output-file", ANSWER)
_WORKSPACE = "references a workspace in `tool.uv.sources`"
_OF_WORKSPACE = (
    "Of a uv workspace only the folder that `path` names is taken, without its siblings and the lock above it: deploy "
    "the workspace's root, with this member among its dependencies."
)


def lock_step(listing: SourceListing, recognised: Recognised, base: Base, project_id: str) -> LockStep | None:
    """Return how it is found out which files *listing* depends on, or None if there is nothing to find out.

    Raises:
        InvalidError: `project_invalid`, `python_unavailable`, or `lock_mismatch`: uv.lock was made for other
            requirements than pyproject.toml has.
    """
    if recognised.language is not Language.PYTHON or not recognised.installs:
        return None
    project = manifests.pyproject(listing)
    if recognised.install is Install.UV_LOCK:
        uv_locks.check(project, uv_lock(listing))
    interpreter = pythons.choose(listing, recognised, base)
    steps = _steps(recognised, interpreter)
    added = _added(recognised)
    files = {_ADDED: "".join(f"{one}\n" for one in added)} if added else {}
    elsewhere = manifests.python_leads_elsewhere(listing, recognised.install, project) or further_files.lead_elsewhere(
        listing, recognised, project
    )
    facts = {
        "project": project_id,
        "python": interpreter.version,
        "platforms": base.platforms,
        "uv": base.uv,
        # An answer says where files lie: with other indexes they may be out of reach, or others.
        "indexes": base.indexes,
        "steps": steps,
        "puts": files,
        "files": manifests.hashes(listing, (*manifests.PYTHON_FILES, *recognised.requirement_files)),
        "source": listing.digest if elsewhere else "",
    }
    return LockStep(
        key=key("lock", facts),
        steps=steps,
        env=LOCKING,
        answer=ANSWER,
        reach=Reach.PYTHON_INDEX,
        python=interpreter.version,
        files=files,
    )


def unlocked(listing: SourceListing, recognised: Recognised) -> str:
    """Return under which key it is kept since when npm's packages are what they are; "" where a lock says it."""
    if recognised.install is not Install.NPM:
        return ""
    return key("unlocked", {"files": manifests.hashes(listing, manifests.NPM_FILES)})


def holds_still(recognised: Recognised) -> str:
    """Say why asking for newer packages changes nothing; "" where it may."""
    name, command = {
        Install.UV_LOCK: ("uv.lock", "uv lock --upgrade"),
        Install.NPM_LOCK: ("package-lock.json", "npm update"),
    }.get(recognised.install, ("", ""))
    return name and f"the source's {name} says which packages there are: `{command}` takes newer ones into it"


def uv_lock(listing: SourceListing) -> Mapping[str, Any]:
    """Return uv.lock; empty if it cannot be read here, where uv says what is wrong with it."""
    try:
        return bounded_toml.loads(listing.texts.get("uv.lock", ""), limit=MAX_LOCK_TEXT)
    except bounded_toml.TomlError:
        return {}


def failure(words: str, refusal: str = "") -> Failure:
    """Say what the last *words* of a lock step that failed mean; *refusal* is what the door had to say to it."""
    said = failures.of_install(words, refusal)
    if said.code != "install_failed" or (not refusal and installers.of_source_build(words)):
        return said
    if "uv.lock" in words:
        return Failure(
            code="lock_invalid",
            message=f"uv.lock cannot be used: {_said(words)}",
            hint="Run `uv lock`, commit uv.lock, and deploy again.",
        )
    if "Failed to parse: pyproject.toml" in words or "Failed to parse: `pyproject.toml`" in words:
        return Failure(
            code="project_invalid",
            message=f"pyproject.toml is wrong: {_said(words)}",
            hint="Correct pyproject.toml, and deploy again.",
        )
    return Failure(
        code="dependencies_unresolvable",
        message=f"It could not be found out which packages are needed: {_said(words)}",
        hint=_OF_WORKSPACE if _WORKSPACE in words else said.hint,
    )


def _said(words: str) -> str:
    """Return what uv said; its own hints name `uv lock`, as the failure's do."""
    return installers.without_noise(failures.quote(words)).partition("\nhint: ")[0].strip()


def _added(recognised: Recognised) -> tuple[str, ...]:
    """Return the requirements that are in no file of the source; one is the source itself where it is a package."""
    return (*(("-e .",) if recognised.install is Install.PACKAGE else ()), *recognised.requirements)


def _steps(recognised: Recognised, interpreter: Interpreter) -> tuple[tuple[str, ...], ...]:
    # A name of a file that begins with a hyphen is no option.
    added = (*(f"./{file}" for file in recognised.requirement_files), *((_ADDED,) if _added(recognised) else ()))
    match recognised.install:
        case Install.UV_LOCK if added:
            # uv adds nothing to a lock: what it says is exported, and what comes on top is resolved around it.
            export = (UV, "export", *_FROZEN, "--format", "requirements.txt", "--output-file", _EXPORTED)
            return (export, _compile(interpreter, _EXPORTED, *added))
        case Install.UV_LOCK:
            return ((UV, "export", *_FROZEN, "--format", "pylock.toml", "--output-file", ANSWER),)
        case Install.PYPROJECT:
            return (_compile(interpreter, "pyproject.toml", *added),)
        case Install.REQUIREMENTS:
            return (_compile(interpreter, "requirements.txt", *added),)
        case _:
            return (_compile(interpreter, *added),)


def _compile(interpreter: Interpreter, *sources: str) -> tuple[str, ...]:
    # The copy of Python is no part of this sandbox: uv resolves for its version all the same.
    version: Sequence[str] = ("--python-version", interpreter.version) if interpreter.runtime else ()
    return (UV, "pip", "compile", *sources, *version, *_HASHED)
