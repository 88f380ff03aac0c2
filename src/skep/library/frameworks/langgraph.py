"""Graphs of LangGraph (https://docs.langchain.com), as langgraph.json names them.

What starts them is `run_langgraph.py`, which every sandbox has: it loads the graph, gives it the inputs and writes down
what comes out.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from skep.kernel.errors import InvalidError
from skep.library.frameworks import documents, pyproject, python, unlocked
from skep.library.frameworks.documents import Table, json_kind
from skep.product.agents.machine import ENV_NAME, RESERVED_ENV
from skep.product.images.model import Recognised, SourceListing

FILE = "langgraph.json"
RUNNER = "/opt/skep/lib/run_langgraph.py"
#: Of several graphs the one with this name is taken.
PREFERRED = "agent"
#: Its traces would go to a host that a sandbox does not reach.
ENV: Mapping[str, str] = {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}
_HINT = 'See https://langchain-ai.github.io/langgraph/cloud/reference/cli/: {"dependencies": ["."], "graphs": {...}}'
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,199}")
_VERSION = re.compile(r"3\.[0-9]{1,3}")
_MOST_DEPENDENCIES = 100
_NODE_FILES = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needs:
    """What `dependencies` comes to."""

    #: Folders of the source that Python looks for modules in.
    folders: tuple[str, ...]
    requirements: tuple[str, ...]
    #: Files of the source whose requirements are installed: uv reads them where they lie.
    files: tuple[str, ...]
    evidence: tuple[str, ...]


class LangGraph:
    """Recognises langgraph.json."""

    name = "langgraph"
    order = 200
    over: tuple[str, ...] = ("python", "langchain")
    reads: tuple[str, ...] = (FILE, *pyproject.READS, "*/requirements.txt", "*/pyproject.toml")
    looks_for = f"a {FILE} with `graphs` in Python"

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Return how the graph is started, or None if there is no graph of Python's.

        Raises:
            InvalidError: `langgraph_invalid`: the file is wrong; `project_invalid`: pyproject.toml is.
        """
        if FILE not in listing.files:
            return None
        whole = documents.json_object(listing, FILE, _HINT, "langgraph_invalid")
        graphs = _graphs(whole)
        name = PREFERRED if PREFERRED in graphs else next(iter(graphs), None)
        if name is None:
            return None
        graph = _checked(listing, name, graphs[name])
        project = pyproject.read(listing)
        needs = _needs(listing, whole)
        env, env_file = _env(whole)
        files = tuple(dict.fromkeys((*project.requirement_files, *needs.files)))
        # Requirements are installed into an environment, whatever else is not to be installed.
        has_environment = project.installs or bool(needs.requirements or files)
        if not has_environment:
            pyproject.check(listing, project)
        runner = (python.interpreter(installs=has_environment), RUNNER)
        return Recognised(
            framework=self.name,
            evidence=(f"graph {name} of {FILE}", *needs.evidence, *project.decided_by),
            command=(*runner, *(("--env", env_file) if env_file else ()), graph, *needs.folders),
            requires_python=_python(whole, project.requires_python),
            install=project.install,
            env={**ENV, **env},
            requirements=needs.requirements,
            requirement_files=files,
            notices=(*_several(graphs, name), *_absent(listing, env_file), *project.notices),
        )

    def why_not(self, listing: SourceListing) -> str:
        """Say that the graphs of a langgraph.json are not Python's."""
        if FILE not in listing.files:
            return ""
        return f"{FILE} names graphs of JavaScript only, and only those of Python are started: give a `command`"


def _graphs(whole: Table) -> dict[str, str]:
    """Return the graphs that are Python's: name -> "./file.py:name" or "module:name"."""
    graphs: object = whole.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise _wrong('`graphs` names none; expected {"agent": "./agent.py:graph"}')
    found: dict[str, str] = {}
    for name, said in cast("dict[str, object]", graphs).items():
        path = documents.table(cast("dict[str, object]", graphs), name).get("path", said)
        if not isinstance(path, str):
            raise _wrong(f"the graph `{name[:80]}` is {json_kind(path)}; expected a text like ./agent.py:graph")
        if not path.partition(":")[0].endswith(_NODE_FILES):
            found[name[:80]] = path
    return found


def _checked(listing: SourceListing, name: str, path: str) -> str:
    """Return the graph as the runner takes it."""
    where, colon, attribute = path.rpartition(":")
    if not colon or not where or not _ATTRIBUTE.fullmatch(attribute):
        raise _wrong(f"the graph `{name}` is {path[:200]!r}; expected FILE:NAME, for example ./agent.py:graph")
    if "/" not in where and not where.endswith(".py"):
        if not _MODULE.fullmatch(where):
            raise _wrong(f"the graph `{name}` is {path[:200]!r}; expected FILE:NAME or MODULE:NAME")
        return path
    file = _inside(where, f"the graph `{name}`")
    if file not in listing.files:
        raise _wrong(f"the graph `{name}` is in {file[:200]}, which is not in the source")
    return f"./{file}:{attribute}"


def _inside(path: str, what: str) -> str:
    """Return *path* without `.` parts; refuse one that leads out of the source."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith(("/", "~")) or ".." in parts or "\\" in path or "\0" in path:
        raise _wrong(f"{what} is at {path[:200]!r}, which leads out of the source")
    return "/".join(parts)


def _needs(listing: SourceListing, whole: Table) -> _Needs:
    said: object = whole.get("dependencies", [])
    if not isinstance(said, list) or len(documents.texts(cast("object", said))) != len(cast("list[object]", said)):
        raise _wrong('`dependencies` is no list of texts; expected ["."], or names of packages and folders')
    if len(cast("list[object]", said)) > _MOST_DEPENDENCIES:
        raise _wrong(f"`dependencies` has more than {_MOST_DEPENDENCIES} entries")
    paths = sorted(listing.files)
    folders: dict[str, None] = {}
    requirements: dict[str, None] = {}
    files: dict[str, None] = {}
    for dependency in documents.texts(cast("object", said)):
        if not dependency.startswith("."):
            requirements[dependency] = None
            continue
        folder = _inside(dependency, "a dependency")
        folders |= dict.fromkeys(_module_folders(paths, folder))
        if folder:
            files |= dict.fromkeys(_of_folder(listing, folder))
    evidence = [*files]
    if requirements or files:
        evidence.append(f"`dependencies` of {FILE}")
    return _Needs(
        folders=tuple(folders), requirements=tuple(requirements), files=tuple(files), evidence=tuple(evidence)
    )


def _module_folders(paths: Sequence[str], folder: str) -> list[str]:
    """Return where modules of a folder are found: in it, in its `src`, and beside it if it is a package itself.

    *paths* are sorted, so that each question costs a few looks at them and not one at each.
    """
    prefix = f"{folder}/" if folder else ""
    found = [f"./{folder}" if folder else "."]
    if _first(paths, f"{prefix}src/").startswith(f"{prefix}src/"):
        found.append(f"./{prefix}src")
    if folder and _first(paths, f"{prefix}__init__.py") == f"{prefix}__init__.py":
        parent = folder.rpartition("/")[0]
        found.append(f"./{parent}" if parent else ".")
    return found


def _first(paths: Sequence[str], least: str) -> str:
    """Return the first of the sorted *paths* that is not before *least*; "" if there is none."""
    at = bisect_left(paths, least)
    return paths[at] if at < len(paths) else ""


def _of_folder(listing: SourceListing, folder: str) -> tuple[str, ...]:
    """Return the file that has the requirements of a folder of the source, if there is one."""
    file, plain = f"{folder}/{pyproject.FILE}", f"{folder}/{unlocked.REQUIREMENTS}"
    # One whose text did not come is uv's to read.
    if file in listing.files and (file not in listing.texts or _says_needs(documents.toml(listing, file))):
        return (file,)
    return (plain,) if listing.files.get(plain, 0) else ()


def _says_needs(whole: Table) -> bool:
    poetry = documents.table(documents.table(whole, "tool"), "poetry")
    by_poetry = "build-system" in whole and unlocked.depends_by_poetry(poetry) and unlocked.in_package_mode(poetry)
    return pyproject.depends(documents.table(whole, "project")) or by_poetry


def _python(whole: Table, requires: str) -> str:
    version: object = whole.get("python_version")
    if version is None:
        return requires
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise _wrong('`python_version` is no version; expected a text like "3.12"')
    return f"{requires},=={version}.*" if requires else f"=={version}.*"


def _env(whole: Table) -> tuple[dict[str, str], str]:
    """Return the variables that the file gives, or the name of the file that has them, which is read in the run."""
    said: object = whole.get("env", {})
    if isinstance(said, str):
        return {}, _inside(said, "the file of `env`")
    if not isinstance(said, dict):
        raise _wrong(f"`env` is {json_kind(said)}; expected the name of a file, or an object of variables")
    found: dict[str, str] = {}
    for name, value in cast("dict[str, object]", said).items():
        if not ENV_NAME.fullmatch(name) or RESERVED_ENV.fullmatch(name):
            raise _wrong(f"`env` has {name[:80]!r}, which is no name for a variable of an agent")
        if not isinstance(value, str | int | float) or isinstance(value, bool) or "\0" in str(value):
            raise _wrong(f"the variable `{name[:80]}` of `env` is {json_kind(value)}; expected a text")
        found[name] = str(value)
    return found, ""


def _several(graphs: Mapping[str, str], name: str) -> list[str]:
    others = [f"{other} ({path[:100]})" for other, path in graphs.items() if other != name][:5]
    if not others:
        return []
    why = "" if name == PREFERRED else f", the first, because none is called {PREFERRED}"
    how = f"For {', '.join(others)} set `command` in skep.yaml: python {RUNNER} ./FILE.py:NAME"
    return [f"{FILE} has {len(graphs)} graphs; {name} is run{why}. {how}"]


def _absent(listing: SourceListing, env_file: str) -> list[str]:
    if not env_file or env_file in listing.files:
        return []
    return [f"{FILE} takes variables from {env_file}, which is not in the source: give them by --env and --secret"]


def _wrong(why: str) -> InvalidError:
    return documents.wrong(FILE, why, _HINT, "langgraph_invalid")
