"""What a build will do, as a value. Pure: the same source on the same base always gives the same plan."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from skep.kernel.errors import InvalidError
from skep.product.images import layer_plans, manifests, nodes, pinned, pythons, steps
from skep.product.images.base import Base
from skep.product.images.locks import Lock
from skep.product.images.model import Install, Language, Recognised, SourceListing
from skep.product.images.places import ENVIRONMENT, ENVIRONMENT_PYTHON, NODE_BIN, PYTHON, UV
from skep.product.images.recognising import recognise  # noqa: F401  # pyright: ignore[reportUnusedImport]
from skep.product.sandboxes.model import LayerId

#: Files that the plan itself looks into, beside those of the frameworks.
READS = (*manifests.PYTHON_FILES, *manifests.NPM_FILES)

#: Grows when the same key would have to mean another content.
_KEY_VERSION = 1
#: A requirement that is a plain name with extras, versions and markers: nothing in it leads to another file.
_PLAIN_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*([<>=!~(;].*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """What a build will do: a value made by a pure function, compared exactly in tests."""

    recognised: Recognised
    #: Key of the environment's layer; None when there is nothing to install.
    env_layer: LayerId | None
    #: Key of the source's layer.
    app_layer: LayerId
    #: Commands that make the environment, in order, as argv.
    steps: tuple[tuple[str, ...], ...]
    #: Environment of these commands.
    env: Mapping[str, str]
    #: True if the project itself is installed: then its tree is sealed after the installing, which may write to it.
    packaged: bool = False


def check_python(recognised: Recognised, base: Base) -> None:
    """Raise `InvalidError(code="python_unavailable")` unless the base's Python is one that the project takes."""
    if not recognised.requires_python:
        return
    try:
        wanted = SpecifierSet(recognised.requires_python)
        version = Version(base.python)
    except (InvalidSpecifier, InvalidVersion) as error:
        raise InvalidError(
            f"requires-python is wrong: {recognised.requires_python[:100]!r}.", code="project_invalid"
        ) from error
    if not wanted.contains(version, prereleases=True):
        raise InvalidError(
            f"The project wants Python {recognised.requires_python}; sandboxes here have {base.python}.",
            code="python_unavailable",
            hint="Widen requires-python, or use a machine whose Python fits.",
        )


def plan_build(
    listing: SourceListing, recognised: Recognised, lock: Lock | None, base: Base, project_id: str
) -> steps.BuildPlan:
    """Decide which layers the image has, how each is made, and under which keys they are kept.

    Args:
        listing: the source.
        recognised: what a framework made of it.
        lock: all that it depends on; None where `locks.lock_step` had nothing to find out.
        base: what the sandbox stands on.
        project_id: whose the source's and the private layer are; the others hold nothing of a project's.

    Raises:
        InvalidError: `project_invalid`; `python_unavailable`, `node_unavailable`: no runtime here fits;
            `hash_mismatch`: a file is another than requirements.txt says.
    """
    if recognised.language is Language.NODE:
        return _plan_node(listing, recognised, base, project_id)
    return _plan_python(listing, recognised, lock, base, project_id)


def _plan_python(
    listing: SourceListing, recognised: Recognised, lock: Lock | None, base: Base, project_id: str
) -> steps.BuildPlan:
    interpreter = pythons.choose(listing, recognised, base)
    if lock is not None and recognised.install is Install.REQUIREMENTS:
        pinned.check(listing.texts.get("requirements.txt", ""), lock)
    below: list[steps.LayerPlan] = []
    if interpreter.runtime is not None:
        below.append(layer_plans.python(interpreter.runtime, base))
    # A copy of Python is found by way of an environment, even of an empty one.
    has_environment = lock is not None or interpreter.runtime is not None
    if has_environment:
        below.append(layer_plans.shared(lock or Lock(), interpreter, base))
    private = _private_python(listing, recognised, lock or Lock(), below, project_id)
    return steps.BuildPlan(
        recognised=replace(recognised, path=(f"{ENVIRONMENT}/bin",) if has_environment else ()),
        runtimes=(str(interpreter),),
        layers=(*below, layer_plans.source(listing, project_id), *private),
        shared=len(lock.wheels) if lock else 0,
        private=tuple(one.name for one in lock.sources) if lock else (),
    )


def _private_python(
    listing: SourceListing,
    recognised: Recognised,
    lock: Lock,
    below: list[steps.LayerPlan],
    project_id: str,
) -> tuple[steps.LayerPlan, ...]:
    packaged = manifests.is_packaged(recognised.install, manifests.pyproject(listing))
    if not (lock.sources or packaged or recognised.prepare):
        return ()
    # What an index has by its hash is the same whatever the source says; all else may read any file of it.
    whole = packaged or bool(recognised.prepare) or not all(one.hashed for one in lock.sources)
    facts = {
        "project": project_id,
        "below": [layer.id for layer in below],
        "source": listing.digest if whole else "",
    }
    return (layer_plans.private_python(lock, recognised.prepare, facts, packaged=packaged, whole=whole),)


def _plan_node(listing: SourceListing, recognised: Recognised, base: Base, project_id: str) -> steps.BuildPlan:
    runtime, notices = nodes.choose(recognised, base)
    below = [layer_plans.node(runtime, base)]
    return steps.BuildPlan(
        recognised=replace(recognised, path=(NODE_BIN,), notices=(*recognised.notices, *notices)),
        runtimes=(f"Node {runtime.version} ({runtime.origin})",),
        layers=(*below, layer_plans.source(listing, project_id), *_private_npm(listing, recognised, below, project_id)),
    )


def _private_npm(
    listing: SourceListing, recognised: Recognised, below: list[steps.LayerPlan], project_id: str
) -> tuple[steps.LayerPlan, ...]:
    install = {Install.NPM_LOCK: "ci", Install.NPM: "install"}.get(recognised.install, "")
    if not (install or recognised.prepare):
        return ()
    whole = bool(recognised.prepare) or manifests.npm_leads_elsewhere(listing)
    facts = {
        "project": project_id,
        "below": [layer.id for layer in below],
        "files": manifests.hashes(listing, manifests.NPM_FILES),
        "source": listing.digest if whole else "",
    }
    return (layer_plans.private_npm(recognised.prepare, facts, install=install),)


def make_plan(
    listing: SourceListing, recognised: Recognised, base: Base, project_id: str, env: Mapping[str, str]
) -> BuildPlan:
    """Decide what is installed, how, and under which keys the layers are kept.

    Args:
        listing: the source.
        recognised: what a framework made of it.
        base: what the sandbox stands on.
        project_id: whose layers these are; they are never shared between projects.
        env: environment of the installing commands (index, proxy, certificates).

    Raises:
        InvalidError: the base's Python is none that the project takes.
    """
    check_python(recognised, base)
    pyproject = _pyproject(listing)
    packaged = _is_packaged(recognised.install, pyproject)
    env_layer: LayerId | None = None
    if recognised.install is not Install.NOTHING:
        env_layer = _key("env", _env_facts(listing, recognised.install, base, project_id, pyproject, packaged=packaged))
    app_facts: dict[str, Any] = {"project": project_id, "source": listing.digest}
    if packaged:
        app_facts["env"] = env_layer
    return BuildPlan(
        recognised=recognised,
        env_layer=env_layer,
        app_layer=_key("app", app_facts),
        steps=_steps(recognised.install, pyproject, packaged=packaged),
        env=env,
        packaged=packaged,
    )


def _steps(install: Install, pyproject: Mapping[str, Any], *, packaged: bool) -> tuple[tuple[str, ...], ...]:
    create = (UV, "venv", "--no-project", "--allow-existing", "--python", PYTHON, ENVIRONMENT)
    into = (UV, "pip", "install", "--python", ENVIRONMENT_PYTHON)
    match install:
        case Install.NOTHING | Install.NPM | Install.NPM_LOCK:
            return ()
        case Install.UV_LOCK:
            steps = (create, (UV, "sync", "--frozen", "--no-dev"))
            if packaged and not _uv_installs_project(pyproject):
                # Without [build-system] uv leaves the project out, and with it its scripts.
                steps = (*steps, (*into, "--no-deps", "--editable", "."))
            return steps
        case Install.PYPROJECT:
            return (create, (*into, "--editable", ".") if packaged else (*into, "--requirements", "pyproject.toml"))
        case Install.REQUIREMENTS:
            return (create, (*into, "--requirements", "requirements.txt"))


def _env_facts(
    listing: SourceListing,
    install: Install,
    base: Base,
    project_id: str,
    pyproject: Mapping[str, Any],
    *,
    packaged: bool,
) -> dict[str, Any]:
    whole = packaged or _leads_elsewhere(listing, install, pyproject)
    return {
        "base": base.fingerprint,
        "python": base.python,
        "uv": base.uv,
        "project": project_id,
        "install": install.value,
        "files": {name: digest for name, digest in sorted(listing.hashes.items()) if name in READS},
        "source": listing.digest if whole else "",
    }


def _is_packaged(install: Install, pyproject: Mapping[str, Any]) -> bool:
    if install not in (Install.UV_LOCK, Install.PYPROJECT):
        return False
    return "build-system" in pyproject or bool(_table(pyproject, "project").get("scripts"))


def _uv_installs_project(pyproject: Mapping[str, Any]) -> bool:
    package = _table(_table(pyproject, "tool"), "uv").get("package")
    return package if isinstance(package, bool) else "build-system" in pyproject


def _leads_elsewhere(listing: SourceListing, install: Install, pyproject: Mapping[str, Any]) -> bool:
    """Tell whether what is installed depends on more files than those that are always looked at."""
    if install is Install.REQUIREMENTS:
        text = listing.texts.get("requirements.txt")
        return text is None or not all(_is_plain(line) for line in text.splitlines())
    uv = _table(_table(pyproject, "tool"), "uv")
    project = _table(pyproject, "project")
    requirements = cast("list[str]", project.get("dependencies", []))
    return bool(uv.get("sources") or uv.get("workspace") or project.get("dynamic")) or not all(
        _is_plain(line) for line in requirements
    )


def _is_plain(line: str) -> bool:
    line = line.split("#", 1)[0].rstrip().removesuffix("\\").strip()
    return not line or line.startswith("--hash=") or _PLAIN_REQUIREMENT.fullmatch(line) is not None


def _pyproject(listing: SourceListing) -> Mapping[str, Any]:
    try:
        return tomllib.loads(listing.texts.get("pyproject.toml", ""))
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"pyproject.toml is wrong: {error}.", code="project_invalid") from error


def _table(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _key(kind: str, facts: Mapping[str, Any]) -> LayerId:
    text = json.dumps({"kind": kind, "version": _KEY_VERSION, **facts}, sort_keys=True, separators=(",", ":"))
    return LayerId(hashlib.sha256(text.encode()).hexdigest())
