"""Crews and flows of CrewAI (https://docs.crewai.com), as its own command lays them out.

A crew has `src/*/config/agents.yaml` and `tasks.yaml`; `[tool.crewai]` of pyproject.toml tells one too, and a flow.
The script that `crewai run` would start is started without it, for it ends with 0 whatever becomes of the script. Only
what CrewAI itself makes of a `definition` is left to it; it does that by `uv run`, which must find all as it was built.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from skep.kernel.errors import InvalidError
from skep.library.frameworks import crew_files, marked_yaml, pyproject, python
from skep.library.frameworks.crew_files import CrewFile
from skep.library.frameworks.documents import table
from skep.library.frameworks.pyproject import Project
from skep.product.images.model import Install, Recognised, SourceListing

AGENTS = "src/*/config/agents.yaml"
TASKS = "src/*/config/tasks.yaml"
PROGRAMS = "src/*/main.py"
#: The inner `uv run` neither installs nor asks an index; nothing is sent to CrewAI's own servers.
ENV: Mapping[str, str] = {
    "UV_NO_SYNC": "1",
    "UV_OFFLINE": "1",
    "UV_PROJECT_ENVIRONMENT": python.ENVIRONMENT,
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
}
_COMMAND = ("crewai", "run")
_PACKAGES = ("crewai", "crewai-tools")
#: The script that `crewai run` would start, by the type of the project.
_SCRIPTS = {"crew": "run_crew", "flow": "kickoff"}
_MOST_NOTICES = 10
#: What a key may be: CrewAI puts it into a text, and takes lists and objects for some versions only.
_KEY_TYPES = ("string", "number", "boolean")
#: By one of these a program gets at the inputs of a run.
_READS_INPUTS = re.compile(r"SKEP_INPUT|\b(?:import|from) +skep\b")


class CrewAI:
    """Recognises the two files of a crew below `src`, or `[tool.crewai]`."""

    name = "crewai"
    order = 100
    over: tuple[str, ...] = ("python", "langchain")
    reads: tuple[str, ...] = (*pyproject.READS, AGENTS, TASKS, PROGRAMS)
    looks_for = "src/*/config/agents.yaml and tasks.yaml, or [tool.crewai] in pyproject.toml"

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Return how the crew is started and which inputs its files name, or None if it is none.

        Raises:
            InvalidError: `crew_invalid`: one of the files is wrong; `project_invalid`: pyproject.toml is.
        """
        folders = _folders(listing)
        project = pyproject.read(listing)
        tool = table(project.tool, "crewai")
        depends = any(package in project.dependencies for package in _PACKAGES)
        whole = [folder for folder, files in folders.items() if len(files) == 2]
        if not (whole or tool or (folders and depends)):
            return None
        pyproject.check(listing, project)
        read = _read(listing, folders)
        keys = tuple(dict.fromkeys(key for file in read.values() for key in file.keys))
        command, script = _command(listing, project, tool)
        return Recognised(
            framework=self.name,
            evidence=(
                *(("[tool.crewai] of pyproject.toml",) if tool else ()),
                *read,
                *script,
                *python.other_files(project),
            ),
            command=command,
            requires_python=project.requires_python,
            install=project.install,
            requirement_files=project.requirement_files,
            inputs_schema=_schema(keys) if keys else None,
            env=ENV,
            notices=(
                *(() if script else (_nothing_to_start(tool),)),
                *(_own_inputs(listing) if keys and command != _COMMAND else ()),
                *islice(_notices(folders, read, project, depends=depends), _MOST_NOTICES),
                *project.notices,
            ),
        )


def _folders(listing: SourceListing) -> dict[str, list[str]]:
    """Return the folders that hold files of a crew, with the paths of those that are there."""
    found: dict[str, list[str]] = {}
    # Only what came with its text: the listing has as many texts as there is room for.
    for path in listing.texts:
        parts = path.split("/")
        if len(parts) == 4 and parts[0] == "src" and parts[2] == "config" and parts[3] in ("agents.yaml", "tasks.yaml"):
            found.setdefault("/".join(parts[:3]), []).append(path)
    return {folder: sorted(files) for folder, files in sorted(found.items())}


def _read(listing: SourceListing, folders: Mapping[str, list[str]]) -> dict[str, CrewFile]:
    paths = [path for files in folders.values() for path in files]
    if len(paths) > 2 and sum(len(listing.texts[path]) for path in paths) > marked_yaml.MAX_CHARACTERS:
        raise InvalidError(
            f"The files of {len(folders)} crews have more than {marked_yaml.MAX_CHARACTERS} characters together.",
            code="crew_invalid",
            hint="Deploy each crew by itself (`path`), or make its files shorter.",
        )
    return {path: crew_files.read(listing, path) for path in paths}


def _command(listing: SourceListing, project: Project, tool: Mapping[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    """Return what starts the project, and what spoke for it beside its files; without that it cannot be started."""
    script = _script(tool)
    own = f"{python.ENVIRONMENT}/bin/{script}"
    if isinstance(tool.get("definition"), str):
        return _COMMAND, [f"definition in [tool.crewai] of {pyproject.FILE}"]
    if script in project.scripts:
        return (own,), [f"script {script} of {pyproject.FILE}"]
    found = python.start(listing, project)
    return ((own,), []) if found is None else (found[0], [found[1]])


def _script(tool: Mapping[str, Any]) -> str:
    return _SCRIPTS["flow" if tool.get("type") == "flow" else "crew"]


def _schema(keys: tuple[str, ...]) -> dict[str, Any]:
    properties = {key: {"type": list(_KEY_TYPES)} for key in keys}
    return {"type": "object", "properties": properties, "required": list(keys)}


def _nothing_to_start(tool: Mapping[str, Any]) -> str:
    script = _script(tool)
    return f"{pyproject.FILE} has no script {script} in [project.scripts], which starts it: add it, or set `command`"


def _own_inputs(listing: SourceListing) -> Iterator[str]:
    """Yield words on a program that, as `crewai create` writes it, knows nothing of the inputs that are asked for."""
    programs = [path for path in listing.texts if path.startswith("src/") and path.endswith("/main.py")]
    programs = [path for path in sorted(programs) if path.count("/") == 2]
    if programs and not any(_READS_INPUTS.search(listing.texts[path]) for path in programs):
        yield (
            f"{programs[0][:100]} does not read the inputs of a run, so its own are taken: have it say "
            "`inputs = skep.inputs()`, with `import skep`"
        )


def _notices(
    folders: Mapping[str, list[str]], read: Mapping[str, CrewFile], project: Project, *, depends: bool
) -> Iterator[str]:
    if not depends and project.install is not Install.UV_LOCK:
        yield "nothing that the project depends on is called crewai: add it to [project.dependencies] of pyproject.toml"
    tool = table(project.tool, "crewai")
    if isinstance(definition := tool.get("definition"), str):
        yield f"`crewai run` starts {definition[:100]} with the inputs of that file, not with those of a run"
    for folder, files in folders.items():
        agents, tasks = f"{folder}/agents.yaml", f"{folder}/tasks.yaml"
        if len(files) == 2:
            yield from crew_files.strangers(read[agents], read[tasks], tasks)
        else:
            yield f"{tasks if files == [agents] else agents} is missing beside {files[0]}"
    yield from (words for file in read.values() for words in file.lacks)
