"""Plain Python projects: a script of pyproject.toml, main.py, the only file with a usual name, or a package."""

from collections.abc import Sequence

from skep.library.frameworks import candidates, packages, pyproject
from skep.library.frameworks.pyproject import Project
from skep.product.images.model import Recognised, SourceListing

ENVIRONMENT = "/opt/env"
_MAIN = packages.ENTRIES[0]


class PythonFramework:
    """Recognises `[project.scripts]` in pyproject.toml, else main.py or another entry, else one package that starts."""

    name = "python"
    order = 900
    reads: tuple[str, ...] = pyproject.READS
    looks_for = (
        "a script in [project.scripts] of pyproject.toml, a main.py, exactly one of app.py, agent.py, run.py, or an "
        "installed package with a __main__.py"
    )

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Return how the project is installed and started, or None if it is no Python project.

        Raises:
            InvalidError: pyproject.toml is wrong.
        """
        project = pyproject.read(listing)
        found = start(listing, project)
        if found is None:
            return None
        command, evidence = found
        return Recognised(
            framework=self.name,
            evidence=(evidence, *other_files(project)),
            command=command,
            requires_python=project.requires_python,
            install=project.install,
            requirement_files=project.requirement_files,
            notices=project.notices,
        )

    def why_not(self, listing: SourceListing) -> str:
        """Say what is missing in a source that has programs in Python, or which of them could be chosen."""
        return candidates.why_not(listing, pyproject.read(listing))


def start(listing: SourceListing, project: Project) -> tuple[tuple[str, ...], str] | None:
    """Return the command that starts a project, and what spoke for it; None if nothing does.

    Raises:
        InvalidError: `lock_unsupported`: it would start without what it depends on.
    """
    found = _start(listing, project)
    if found is not None:
        pyproject.check(listing, project)
    return found


def _start(listing: SourceListing, project: Project) -> tuple[tuple[str, ...], str] | None:
    if project.scripts:
        return _script(project)
    there = packages.entries(listing)
    if there:
        file = _MAIN if _MAIN in there else _only(there)
        return None if file is None else ((interpreter(installs=project.installs), file), file)
    return _package(listing, project)


def _package(listing: SourceListing, project: Project) -> tuple[tuple[str, ...], str] | None:
    """Return what starts the only package that can be: from `src` only what is installed, else what lies there."""
    folder = _only(packages.with_main(listing))
    if folder is None or not (project.packaged if folder.startswith("src/") else project.installs):
        return None
    return ("python", "-m", folder.removeprefix("src/")), f"{folder}/__main__.py"


def interpreter(*, installs: bool) -> str:
    """Return a Python that is there: without an environment the system's has its long name only."""
    return "python" if installs else "python3"


def other_files(project: Project) -> tuple[str, ...]:
    """Return the files that say how a project is installed; one that names the script needs no second mention."""
    return tuple(file for file in project.decided_by if not (project.scripts and file == pyproject.FILE))


def _script(project: Project) -> tuple[tuple[str, ...], str]:
    name, why = next(iter(project.scripts)), ""
    if len(project.scripts) > 1:
        wanted = pyproject.normalise(project.name)
        same = next((script for script in project.scripts if pyproject.normalise(script) == wanted), None)
        name = same or name
        why = f" (of {len(project.scripts)}: " + (
            "named like the project)" if same else "the first; set `command` for another)"
        )
    return (f"{ENVIRONMENT}/bin/{name}",), f"script {name} of pyproject.toml{why}"


def _only(files: Sequence[str]) -> str | None:
    return files[0] if len(files) == 1 else None
