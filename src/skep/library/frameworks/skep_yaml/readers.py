"""How the value of each key of a `skep.yaml` is read; a wrong one ends in a `YamlError` at its place."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from yaml import Node, SequenceNode

from skep.library.frameworks import marked_yaml
from skep.library.frameworks.marked_yaml import wrong
from skep.library.frameworks.skep_yaml import schedule
from skep.library.frameworks.skep_yaml.said import Runtime, Said, nearest, unknown
from skep.product.agents.model import NAME_PATTERN, Kind, Resources
from skep.product.images.model import Language

TYPES = ("string", "integer", "number", "boolean", "array", "object")
#: Whether it is a whole number.
RESOURCES: Mapping[str, bool] = {"cpus": False, "memory_mb": True, "disk_mb": True, "pids": True, "timeout_s": False}
RUNTIME = re.compile(r"(python)(3(?:\.[0-9]{1,3}){0,2})?|(node)([0-9]{1,3}(?:\.[0-9]{1,5}){0,2})?")
MAX_PREPARE = 20
MAX_HOSTS = 100
#: Any of these makes `inputs` a JSON Schema; without them it is the short form.
SCHEMA_WORDS = ("$schema", "$ref", "$defs", "properties", "required", "allOf", "anyOf", "oneOf")


def name(said: Said, node: Node) -> None:
    """Read the name that the agent gets if nobody gives another."""
    found = marked_yaml.text(node, "`name`", numbers=True)
    if NAME_PATTERN.fullmatch(found) is None:
        raise wrong(
            node,
            f"`name` is {found[:80]!r}; expected lower-case letters, digits and inner hyphens, at most 63 characters",
        )
    said.declared = replace(said.declared, name=found)


def framework(said: Said, node: Node) -> None:
    """Read which framework it is; whether there is one of that name is judged by whoever knows them."""
    said.places["framework"] = node
    said.framework = marked_yaml.text(node, "`framework`")


def kind(said: Said, node: Node) -> None:
    """Read how the agent lives: as a job, in this version."""
    found = marked_yaml.text(node, "`kind`")
    if found == "service":
        raise wrong(node, "`kind` is service, which this version of Skep does not run yet; expected job")
    if found != Kind.JOB.value:
        raise wrong(node, f"`kind` is {found[:80]!r}; expected job")
    said.declared = replace(said.declared, kind=found)


def service_only(_: Said, node: Node) -> None:
    """Refuse what only a service has."""
    raise wrong(node, "this is for services, which this version of Skep does not run yet; a job has neither")


def command(said: Said, node: Node) -> None:
    """Read the command that starts the agent."""
    said.places["command"] = node
    said.config = replace(said.config, command=_argv(node, "`command`"))


def prepare(said: Said, node: Node) -> None:
    """Read the commands that make the source ready: one as a text, or a list of them."""
    listed = marked_yaml.items(node, "`prepare`") if isinstance(node, SequenceNode) else [node]
    if len(listed) > MAX_PREPARE:
        raise wrong(node, f"`prepare` has more than {MAX_PREPARE} commands")
    said.prepare = tuple(_argv(item, "a command of `prepare`") for item in listed)


def runtime(said: Said, node: Node) -> None:
    """Read what runs it: python3.12, node24."""
    said.places["runtime"] = node
    text = marked_yaml.text(node, "`runtime`", numbers=True)
    found = RUNTIME.fullmatch(text)
    if found is None:
        raise wrong(node, f"`runtime` is {text[:80]!r}; expected for example python3.12, node24, python or node")
    language = Language.PYTHON if found[1] else Language.NODE
    said.runtime = Runtime(language=language, version=found[2] or found[4] or "")


def inputs(said: Said, node: Node) -> None:
    """Read the inputs: names with their types, or a JSON Schema."""
    said.places["inputs_schema"] = node
    found = marked_yaml.members(node, "`inputs`")
    type_ = marked_yaml.value(found["type"][1]) if "type" in found else None
    if not found or found.keys() & set(SCHEMA_WORDS) or type_ == "object" or isinstance(type_, list):
        schema = cast("dict[str, Any]", marked_yaml.value(node) or {})
    else:
        schema = _short(found)
    said.config = replace(said.config, inputs_schema=schema)


def env(said: Said, node: Node) -> None:
    """Read variables."""
    said.places["env"] = node
    found: dict[str, str] = {}
    for variable, (key, value) in marked_yaml.members(node, "`env`").items():
        said.places[f"env.{variable[:128]}"] = key
        found[variable] = marked_yaml.text(value, f"the variable `{variable[:80]}`", numbers=True)
    said.config = replace(said.config, env=found)


def secrets(said: Said, node: Node) -> None:
    """Read the names of secrets."""
    said.places["secrets"] = node
    names = [marked_yaml.text(item, "the name of a secret") for item in marked_yaml.items(node, "`secrets`")]
    said.config = replace(said.config, secrets=tuple(dict.fromkeys(names)))


def resources(said: Said, node: Node) -> None:
    """Read what a run may use."""
    wanted: dict[str, float] = {}
    for resource, (key, value) in marked_yaml.members(node, "`resources`").items():
        if resource not in RESOURCES:
            raise unknown(key, resource, RESOURCES, " in `resources`")
        said.places[f"resources.{resource}"] = value
        wanted[resource] = marked_yaml.number(value, f"`resources.{resource}`", whole=RESOURCES[resource])
    said.config = replace(said.config, resources=Resources(**cast("dict[str, Any]", wanted)))


def egress(said: Said, node: Node) -> None:
    """Read the hosts that it asks to reach."""
    said.places["egress"] = node
    hosts = [marked_yaml.text(item, "a host of `egress`") for item in marked_yaml.items(node, "`egress`")]
    if len(hosts) > MAX_HOSTS:
        raise wrong(node, f"`egress` has more than {MAX_HOSTS} hosts")
    said.config = replace(said.config, egress=tuple(dict.fromkeys(hosts)))
    said.declared = replace(said.declared, egress=said.config.egress)


def schedule_(said: Said, node: Node) -> None:
    """Read when it is to run by itself."""
    text = marked_yaml.text(node, "`schedule`")
    if (why := schedule.wrong(text)) is not None:
        raise wrong(node, why)
    said.declared = replace(said.declared, schedule=" ".join(text.split()))


def _argv(node: Node, what: str) -> tuple[str, ...]:
    if isinstance(node, SequenceNode):
        items = marked_yaml.items(node, what)
        found = [marked_yaml.text(item, f"an argument of {what}", numbers=True) for item in items]
    else:
        line = marked_yaml.text(node, what)
        try:
            found = shlex.split(line)
        except ValueError as error:
            raise wrong(node, f"{what} cannot be split into arguments: {error}") from error
    if not found or not found[0]:
        raise wrong(node, f"{what} is empty; expected a program and its arguments")
    return tuple(found)


def _short(found: Mapping[str, tuple[Node, Node]]) -> dict[str, Any]:
    types: dict[str, str] = {}
    for name_, (_, node) in found.items():
        types[name_] = marked_yaml.text(node, f"the type of the input `{name_[:80]}`")
        if types[name_] not in TYPES:
            near = f" (did you mean {close}?)" if (close := nearest(types[name_], TYPES)) else ""
            said = f"`{types[name_][:80]}` is no type of an input; expected one of {', '.join(TYPES)}{near}"
            raise wrong(node, f"{said} (or `inputs` as a JSON Schema, with `properties`)")
    return {
        "type": "object",
        "properties": {name_: {"type": type_} for name_, type_ in types.items()},
        "required": list(types),
        "additionalProperties": False,
    }
