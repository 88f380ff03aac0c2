"""The one definition of what a `skep.yaml` may hold: names, words for people, JSON Schemas, readers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from yaml import Node

from skep.library.frameworks.skep_yaml import readers
from skep.library.frameworks.skep_yaml.readers import MAX_HOSTS, MAX_PREPARE, RESOURCES, SCHEMA_WORDS, TYPES
from skep.library.frameworks.skep_yaml.said import Said
from skep.product.agents.machine import ENV_NAME, HOST, MAX_ENV, SECRET_NAME
from skep.product.agents.model import NAME_PATTERN

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key at the top of the file."""

    read: Callable[[Said, Node], None]
    #: What it is, for people; Markdown.
    words: str
    schema: Mapping[str, Any]
    #: Nothing acts on it in this version; the words of the notice, if it is taken at all.
    later: str = ""


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


_SCALAR: Mapping[str, Any] = {"type": ["string", "number"]}
_ARGV: Mapping[str, Any] = {
    "oneOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "items": _SCALAR}]
}
#: What tells a schema from names of inputs.
_SIGNS_OF_A_SCHEMA = [
    *({"required": [word]} for word in SCHEMA_WORDS),
    {"required": ["type"], "properties": {"type": {"anyOf": [{"const": "object"}, {"type": "array"}]}}},
]
_FOR_SERVICES = "Only a service has one; services come with a later version, until then it is refused."

KEYS: Mapping[str, Key] = {
    "name": Key(
        read=readers.name,
        words="The agent's name where `skep deploy` makes one of a folder and is given no `--name`.",
        schema={"type": "string", "pattern": _whole(NAME_PATTERN.pattern), "maxLength": 63},
    ),
    "framework": Key(
        read=readers.framework,
        words="Which framework it is, where several would fit: a name of docs/frameworks.md.",
        schema={"type": "string"},
    ),
    "kind": Key(
        read=readers.kind,
        words="`job`: it runs to its end. Another kind is refused in this version.",
        schema={"enum": ["job"]},
    ),
    "command": Key(
        read=readers.command,
        words="How the agent is started, in `/app`: a list of arguments, or one text that is split as a shell would. "
        "No shell runs it.",
        schema=_ARGV,
    ),
    "prepare": Key(
        read=readers.prepare,
        words="Commands that make the source ready once its dependencies are there, in place of those that are "
        "recognised: one as a text, or a list of commands. `[]` means none.",
        schema={
            "oneOf": [{"type": "string", "minLength": 1}, {"type": "array", "maxItems": MAX_PREPARE, "items": _ARGV}]
        },
    ),
    "runtime": Key(
        read=readers.runtime,
        words="What runs it: `python3.12`, `python`, `node24`, `node`; over what the project's own files say.",
        schema={"type": "string", "pattern": _whole(readers.RUNTIME.pattern)},
    ),
    "inputs": Key(
        read=readers.inputs,
        words=f"Name: type, of {', '.join(f'`{one}`' for one in TYPES)}; all are required, and no others are taken. "
        "Or a JSON Schema: anything with `type: object`, `properties` or another of a schema's words. `{}` takes any "
        "object.",
        schema={
            "anyOf": [
                {"type": ["object", "null"], "additionalProperties": {"enum": list(TYPES)}},
                {"allOf": [{"$ref": SCHEMA_ID}, {"type": "object"}, {"anyOf": _SIGNS_OF_A_SCHEMA}]},
            ]
        },
    ),
    "env": Key(
        read=readers.env,
        words='Variables. Texts and numbers; put `"yes"`, `"no"`, `"true"` and the like in quotes.',
        schema={
            "type": "object",
            "maxProperties": MAX_ENV,
            "propertyNames": {"pattern": _whole(ENV_NAME.pattern)},
            "additionalProperties": _SCALAR,
        },
    ),
    "secrets": Key(
        read=readers.secrets,
        words="Names of secrets of the project that the agent needs, as files in `/run/secrets`. Its owner grants "
        "them: `skep deploy --secret API_KEY`.",
        schema={"type": "array", "items": {"type": "string", "pattern": _whole(SECRET_NAME.pattern)}},
    ),
    "resources": Key(
        read=readers.resources,
        words=f"{', '.join(f'`{one}`' for one in RESOURCES)}, within the operator's limits.",
        schema={
            "type": "object",
            "properties": {
                one: {"type": "integer" if whole else "number", "exclusiveMinimum": 0}
                for one, whole in RESOURCES.items()
            },
            "additionalProperties": False,
        },
    ),
    "egress": Key(
        read=readers.egress,
        words="Hosts that it asks to reach: `host`, `host:port`, `*.host`. Checked and recorded; runs have no way out "
        "yet, and its owner is who grants one.",
        schema={
            "type": "array",
            "maxItems": MAX_HOSTS,
            "items": {"type": "string", "pattern": _whole(HOST.pattern)},
        },
        later="runs have no way out yet",
    ),
    "schedule": Key(
        read=readers.schedule_,
        words="When it is to run by itself: the five fields of cron, in UTC. Checked and recorded; nothing starts "
        "it yet.",
        schema={"type": "string"},
        later="nothing starts runs by a schedule yet",
    ),
    "port": Key(
        read=readers.service_only,
        words=f"Where a service listens. {_FOR_SERVICES}",
        schema={"type": "integer", "minimum": 1, "maximum": 65_535, "deprecated": True},
    ),
    "health": Key(
        read=readers.service_only,
        words=f"How it is found out that a service is well. {_FOR_SERVICES}",
        schema={"type": ["string", "object"], "deprecated": True},
    ),
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors."""
    return {
        "$schema": SCHEMA_ID,
        "title": "skep.yaml",
        "description": "What the source of an agent says of itself to Skep.",
        "type": "object",
        "properties": {name: {"description": key.words, **key.schema} for name, key in KEYS.items()},
        "additionalProperties": False,
    }
