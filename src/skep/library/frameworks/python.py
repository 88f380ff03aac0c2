"""Plain Python projects: a script of pyproject.toml, or main.py."""

import re
import tomllib
from typing import Any, cast

from skep.kernel.errors import InvalidError
from skep.product.images.model import Install, Recognised, SourceListing

ENVIRONMENT = "/opt/env"

_SCRIPT_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_HINT = "See https://packaging.python.org/en/latest/specifications/pyproject-toml/"


class PythonFramework:
    """Recognises `[project.scripts]` in pyproject.toml, else main.py."""

    name = "python"
    order = 900
    reads: tuple[str, ...] = ("pyproject.toml", "requirements.txt", "uv.lock", "main.py")
    looks_for = "a script in [project.scripts] of pyproject.toml, or a main.py"

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Return how the project is installed and started, or None if it is no Python project.

        Raises:
            InvalidError: pyproject.toml is wrong.
        """
        project = _project(listing)
        scripts = _scripts(project)
        if not scripts and "main.py" not in listing.files:
            return None
        install, decided_by = _install(listing, project)
        command, evidence = _command(scripts, _text(project, "name"), install)
        return Recognised(
            framework=self.name,
            # The file that names the script needs no second mention.
            evidence=(evidence, *(file for file in decided_by if not (scripts and file == "pyproject.toml"))),
            command=command,
            requires_python=_text(project, "requires-python"),
            install=install,
        )


def installation(listing: SourceListing) -> tuple[Install, tuple[str, ...], str]:
    """Return how a project's dependencies are installed, the files that say so, and the Pythons that it takes.

    Raises:
        InvalidError: pyproject.toml is wrong.
    """
    project = _project(listing)
    return *_install(listing, project), _text(project, "requires-python")


def _command(scripts: dict[str, str], project_name: str, install: Install) -> tuple[tuple[str, ...], str]:
    if not scripts:
        # Without an environment there is only the system's Python, which has no short name everywhere.
        return ("python3" if install is Install.NOTHING else "python", "main.py"), "main.py"
    name, why = next(iter(scripts)), ""
    if len(scripts) > 1:
        same = next((script for script in scripts if _normalise(script) == _normalise(project_name)), None)
        name = same or name
        why = f" (of {len(scripts)}: " + (
            "named like the project)" if same else "the first; set `command` for another)"
        )
    return (f"{ENVIRONMENT}/bin/{name}",), f"script {name} of pyproject.toml{why}"


def _install(listing: SourceListing, project: dict[str, Any]) -> tuple[Install, tuple[str, ...]]:
    if "uv.lock" in listing.files and "pyproject.toml" in listing.files:
        return Install.UV_LOCK, ("uv.lock",)
    if _scripts(project) or project.get("dependencies") or "dependencies" in project.get("dynamic", []):
        return Install.PYPROJECT, ("pyproject.toml",)
    if listing.files.get("requirements.txt", 0) > 0:
        return Install.REQUIREMENTS, ("requirements.txt",)
    return Install.NOTHING, ()


def _project(listing: SourceListing) -> dict[str, Any]:
    if "pyproject.toml" not in listing.files:
        return {}
    text = listing.texts.get("pyproject.toml")
    if text is None:
        raise _wrong("it is too large, or no text")
    try:
        project = tomllib.loads(text).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise _wrong(str(error)) from error
    if not isinstance(project, dict):
        raise _wrong("[project] is no table")
    found = cast("dict[str, Any]", project)
    for key in ("dependencies", "dynamic"):
        _check_texts(found, key)
    return found


def _check_texts(project: dict[str, Any], key: str) -> None:
    value = project.get(key, [])
    if not isinstance(value, list) or not all(isinstance(part, str) for part in cast("list[object]", value)):
        raise _wrong(f"project.{key} is no list of texts")


def _scripts(project: dict[str, Any]) -> dict[str, str]:
    scripts: object = project.get("scripts", {})
    if not isinstance(scripts, dict):
        raise _wrong("[project.scripts] is no table")
    found = cast("dict[str, object]", scripts)
    for name, target in found.items():
        if not isinstance(target, str) or not _SCRIPT_NAME.fullmatch(name) or name in (".", ".."):
            raise _wrong(f"the script {name[:80]!r} in [project.scripts] is not NAME = 'module:function'")
    return cast("dict[str, str]", found)


def _text(project: dict[str, Any], key: str) -> str:
    value = project.get(key, "")
    if not isinstance(value, str):
        raise _wrong(f"project.{key} is no text")
    return value


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _wrong(why: str) -> InvalidError:
    return InvalidError(f"pyproject.toml is wrong: {why}.", code="project_invalid", hint=_HINT)
