"""Runs a graph of LangGraph with a run's inputs and writes down what comes out. Standard library and the graph's own.

    python run_langgraph.py [--env FILE] ./agent.py:graph [FOLDER...]
    python run_langgraph.py package.module:graph [FOLDER...]

The graph may be a graph, a builder that is not compiled yet, or a function that makes one (plain, async or an async
context manager; with the configuration as its argument if it takes one). Modules are looked for in the FOLDERs as well.
What a graph asks a person by `interrupt(...)` is asked as `skep.ask` does, and the graph goes on with the answer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import importlib.util
import inspect
import json
import os
import sys
from contextlib import AsyncExitStack
from typing import Any, cast

_INTERRUPT = "__interrupt__"


class RunnerError(Exception):
    """The graph cannot be run as it is; the message says what to mend."""


def load(spec: str) -> Any:
    """Return what *spec* names: `./path.py:name` or `module:name`; *name* may have dots."""
    where, colon, name = spec.rpartition(":")
    if not colon or not where or not name:
        raise RunnerError(f"{spec!r} names no graph; expected ./FILE.py:NAME or MODULE:NAME")
    found: Any = _from_file(where) if where.endswith(".py") or "/" in where else importlib.import_module(where)
    for part in name.split("."):
        if not hasattr(found, part):
            raise RunnerError(f"{where} has no {name}")
        found = getattr(found, part)
    return found


def _from_file(path: str) -> Any:
    """Import a file: as a part of its package if its folder is one, else alone, with its folder's modules at hand."""
    file = os.path.abspath(path)
    if not os.path.isfile(file):
        raise RunnerError(f"there is no file {path}")
    folder, name = os.path.split(file)
    parts = [name.removesuffix(".py")]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.insert(0, package)
    _look_in(folder)
    if all(part.isidentifier() for part in parts):
        module = importlib.import_module(".".join(parts))
        if os.path.realpath(str(module.__file__)) == os.path.realpath(file):
            return module
    # Its name is no module's, or another's that was there before.
    spec = importlib.util.spec_from_file_location("graph_of_the_agent", file)
    if spec is None or spec.loader is None:
        raise RunnerError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _look_in(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


async def made(found: Any, config: dict[str, Any], stack: AsyncExitStack) -> Any:
    """Return the graph, ready to be called; a factory is called, a builder compiled."""
    if not _is_graph(found) and callable(found):
        found = found(config) if _takes_argument(found) else found()
        if inspect.isawaitable(found):
            found = await found
        if hasattr(found, "__aenter__"):
            found = await stack.enter_async_context(found)
        elif hasattr(found, "__enter__"):
            found = stack.enter_context(found)
    if hasattr(found, "compile") and not hasattr(found, "ainvoke"):
        found = found.compile()
    if not hasattr(found, "ainvoke"):
        raise RunnerError(f"this is no graph, but {type(found).__name__}; expected one, or a function that makes one")
    return found


def _is_graph(found: Any) -> bool:
    return hasattr(found, "ainvoke") or hasattr(found, "compile")


def _takes_argument(factory: Any) -> bool:
    needed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(one.kind in needed for one in inspect.signature(factory).parameters.values())


async def called(graph: Any, inputs: Any, config: dict[str, Any]) -> Any:
    """Give *inputs* to the graph and return its last state, with what it asked a person answered."""
    if getattr(graph, "checkpointer", False) is None:
        _remember(graph)
    result = await _invoked(graph, inputs, config)
    while getattr(graph, "checkpointer", None) and (asked := _asked(result)):
        result = await _invoked(graph, _resume(asked), config)
    return result


def _asked(result: Any) -> list[Any]:
    """Return what the graph stopped for."""
    found = cast("dict[Any, Any]", result).get(_INTERRUPT) if isinstance(result, dict) else None
    return list(found or ())


def _remember(graph: Any) -> None:
    """Give the graph a memory for the time of the run: it stops for a person only with one."""
    try:
        memory = importlib.import_module("langgraph.checkpoint.memory")
    except ImportError:
        return
    graph.checkpointer = memory.InMemorySaver()


def _resume(asked: Any) -> Any:
    """Ask a person what the graph stopped for, and return the command that goes on with the answers."""
    types, skep = importlib.import_module("langgraph.types"), importlib.import_module("skep")
    answers: dict[str, Any] = {one.id: skep.ask(_question(one.value)) for one in asked}
    return types.Command(resume=answers if len(answers) > 1 else next(iter(answers.values())))


def _question(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=plain, ensure_ascii=False)


async def _invoked(graph: Any, inputs: Any, config: dict[str, Any]) -> Any:
    try:
        return await graph.ainvoke(inputs, config)
    except NotImplementedError:
        # A memory that only knows the way without async says so before anything ran.
        if not getattr(graph, "checkpointer", None):
            raise
        return await asyncio.to_thread(graph.invoke, inputs, config)


def plain(value: Any) -> Any:
    """Return *value*, which JSON does not know, as something that it knows."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return list(cast("set[Any]", value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def written(value: Any) -> str:
    """Return *value* as JSON; what cannot be its own kind is text."""
    return json.dumps(_keyed(value), default=lambda one: _keyed(plain(one)), ensure_ascii=False)


def _keyed(value: Any) -> Any:
    """Return *value* with texts for keys, as deep as dictionaries and lists go."""
    if isinstance(value, dict):
        return {str(key): _keyed(member) for key, member in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_keyed(member) for member in cast("list[Any]", value)]
    return value


def load_env(path: str) -> None:
    """Take variables from a file of NAME=VALUE lines; those that are there already stay."""
    if not os.path.isfile(path):
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            value = value.strip()
            if equals and not name.startswith("#"):
                if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                    value = value[1:-1]
                os.environ.setdefault(name.strip(), value)


async def run(spec: str, inputs: Any) -> Any:
    """Load the graph and run it."""
    config = {"configurable": {"thread_id": os.environ.get("SKEP_RUN_ID", "run")}}
    async with AsyncExitStack() as stack:
        graph = await made(load(spec), config, stack)
        return await called(graph, inputs, config)


def main(arguments: list[str]) -> int:
    """Do what the module's docstring says; 2 if the graph cannot be run as it is."""
    if arguments[:1] == ["--env"]:
        load_env(arguments[1])
        arguments = arguments[2:]
    for folder in reversed([".", *arguments[1:]]):
        _look_in(os.path.abspath(folder))
    with open(os.environ["SKEP_INPUT"], encoding="utf-8") as file:
        inputs = json.load(file)
    try:
        result = asyncio.run(run(arguments[0], inputs))
    except RunnerError as error:
        print(f"run_langgraph: {error}", file=sys.stderr)  # noqa: T201  the run's log
        return 2
    with open(os.environ["SKEP_OUTPUT"], "w", encoding="utf-8") as file:
        file.write(written(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
