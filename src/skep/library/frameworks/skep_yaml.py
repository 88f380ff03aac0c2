"""`skep.yaml`: what a source says of itself, over what is recognised and under what its owner says."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from yaml import Node, SequenceNode

from skep.kernel.errors import InvalidError
from skep.library.frameworks import marked_yaml, python
from skep.library.frameworks.marked_yaml import YamlError, wrong
from skep.product.agents.machine import check_config
from skep.product.agents.model import AgentConfig, AgentLimits, Resources
from skep.product.images.model import Install, Recognised, SourceListing

FILE = "skep.yaml"
TYPES = ("string", "integer", "number", "boolean", "array", "object")
_HINT = "The keys are command, inputs, env, secrets, resources; see docs/skep-yaml.md."
#: Any of these makes `inputs` a JSON Schema; without them it is the short form.
_SCHEMA_WORDS = frozenset({"$schema", "$ref", "$defs", "properties", "required", "allOf", "anyOf", "oneOf"})
#: Whether it is a whole number.
_RESOURCES: Mapping[str, bool] = {"cpus": False, "memory_mb": True, "disk_mb": True, "pids": True, "timeout_s": False}


@dataclass(slots=True, kw_only=True)
class _Said:
    """What a file says, and where each part of it stands."""

    keys: tuple[str, ...] = ()
    config: AgentConfig = field(default_factory=AgentConfig)
    #: By the names that `check_config` gives to what is wrong.
    places: dict[str, Node] = field(default_factory=dict[str, Node])


class SkepYaml:
    """Recognises nothing by itself: overrides what the frameworks recognise; its `command` may stand alone."""

    name = FILE
    order = 0
    reads: tuple[str, ...] = (FILE, "pyproject.toml", "requirements.txt", "uv.lock")
    looks_for = f"a {FILE} with a `command`"

    def __init__(self, limits: AgentLimits) -> None:
        self._limits = limits

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Refuse a wrong file before anything else is asked; say nothing of a good one yet."""
        self._read(listing)
        return None

    def override(self, listing: SourceListing, found: Recognised | None) -> Recognised | None:
        """Return *found* with what the file says over it; its command alone is enough without one.

        Raises:
            InvalidError: `skep_yaml_invalid`, with line and column.
        """
        said = self._read(listing)
        if said is None or not said.keys:
            return found
        config = said.config
        if found is None and not config.command:
            return None
        found = found or _by_command(listing)
        return replace(
            found,
            evidence=(*found.evidence, f"{FILE}: {', '.join(said.keys)}"),
            command=_start(config.command, found.install) or found.command,
            inputs_schema=found.inputs_schema if config.inputs_schema is None else config.inputs_schema,
            env={**found.env, **config.env},
            secrets=config.secrets or found.secrets,
            resources=config.resources if "resources" in said.keys else found.resources,
        )

    def _read(self, listing: SourceListing) -> _Said | None:
        if FILE not in listing.files:
            return None
        text = listing.texts.get(FILE)
        if text is None:
            raise _invalid(YamlError("too large, or no regular file"))
        try:
            said = _parse(text)
            self._check(said)
        except YamlError as error:
            raise _invalid(error) from error
        return said

    def _check(self, said: _Said) -> None:
        """Hold the file to what holds for its owner's configuration too."""
        try:
            check_config(said.config, self._limits)
        except InvalidError as error:
            for name, why in error.fields.items():
                if (node := said.places.get(name)) is not None:
                    raise wrong(node, f"`{name}` {why}") from error
            raise YamlError(error.message) from error


def _parse(text: str) -> _Said:
    root = marked_yaml.compose(text)
    said = _Said()
    if root is None:
        return said
    found = marked_yaml.members(root, "the file")
    for name, (key, _) in found.items():
        if name not in _READERS:
            raise wrong(key, f"unknown key `{name[:80]}`; expected one of {', '.join(_READERS)}")
    for name, (_, node) in found.items():
        _READERS[name](said, node)
    said.keys = tuple(found)
    return said


def _command(said: _Said, node: Node) -> None:
    said.places["command"] = node
    if isinstance(node, SequenceNode):
        items = marked_yaml.items(node, "`command`")
        command = [marked_yaml.text(item, "an argument of `command`", numbers=True) for item in items]
    else:
        line = marked_yaml.text(node, "`command`")
        try:
            command = shlex.split(line)
        except ValueError as error:
            raise wrong(node, f"`command` cannot be split into arguments: {error}") from error
    if not command or not command[0]:
        raise wrong(node, "`command` is empty; expected a program and its arguments")
    said.config = replace(said.config, command=tuple(command))


def _inputs(said: _Said, node: Node) -> None:
    said.places["inputs_schema"] = node
    found = marked_yaml.members(node, "`inputs`")
    kind = marked_yaml.value(found["type"][1]) if "type" in found else None
    if not found or _SCHEMA_WORDS & found.keys() or kind == "object" or isinstance(kind, list):
        schema = cast("dict[str, Any]", marked_yaml.value(node) or {})
    else:
        schema = _short(found)
    said.config = replace(said.config, inputs_schema=schema)


def _short(found: Mapping[str, tuple[Node, Node]]) -> dict[str, Any]:
    types: dict[str, str] = {}
    for name, (_, node) in found.items():
        types[name] = marked_yaml.text(node, f"the type of the input `{name[:80]}`")
        if types[name] not in TYPES:
            said = f"`{types[name][:80]}` is no type of an input; expected one of {', '.join(TYPES)}"
            raise wrong(node, f"{said} (or `inputs` as a JSON Schema, with `properties`)")
    return {
        "type": "object",
        "properties": {name: {"type": type_} for name, type_ in types.items()},
        "required": list(types),
        "additionalProperties": False,
    }


def _env(said: _Said, node: Node) -> None:
    said.places["env"] = node
    env: dict[str, str] = {}
    for name, (key, value) in marked_yaml.members(node, "`env`").items():
        said.places[f"env.{name[:128]}"] = key
        env[name] = marked_yaml.text(value, f"the variable `{name[:80]}`", numbers=True)
    said.config = replace(said.config, env=env)


def _secrets(said: _Said, node: Node) -> None:
    said.places["secrets"] = node
    names = [marked_yaml.text(item, "the name of a secret") for item in marked_yaml.items(node, "`secrets`")]
    said.config = replace(said.config, secrets=tuple(dict.fromkeys(names)))


def _resources(said: _Said, node: Node) -> None:
    wanted: dict[str, float] = {}
    for name, (key, value) in marked_yaml.members(node, "`resources`").items():
        if name not in _RESOURCES:
            raise wrong(key, f"unknown key `{name[:80]}` in `resources`; expected one of {', '.join(_RESOURCES)}")
        said.places[f"resources.{name}"] = value
        wanted[name] = marked_yaml.number(value, f"`resources.{name}`", whole=_RESOURCES[name])
    said.config = replace(said.config, resources=Resources(**cast("dict[str, Any]", wanted)))


_READERS: Mapping[str, Callable[[_Said, Node], None]] = {
    "command": _command,
    "inputs": _inputs,
    "env": _env,
    "secrets": _secrets,
    "resources": _resources,
}


def _by_command(listing: SourceListing) -> Recognised:
    install, files, requires_python = python.installation(listing)
    return Recognised(framework="command", evidence=files, command=(), requires_python=requires_python, install=install)


def _start(command: tuple[str, ...], install: Install) -> tuple[str, ...]:
    """Return *command* with a Python that is there: without an environment the system's has its long name only."""
    if command[:1] == ("python",) and install is Install.NOTHING:
        return ("python3", *command[1:])
    return command


def _invalid(error: YamlError) -> InvalidError:
    return InvalidError(
        f"{FILE}, line {error.line}, column {error.column}: {error.message}.", code="skep_yaml_invalid", hint=_HINT
    )
