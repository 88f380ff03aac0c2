"""Inputs as they are typed, `KEY=VALUE`: text or JSON, by what the agent's schema says of the key. Pure."""

import json
from collections.abc import Iterable
from typing import Any, cast

from skep.edge.cli import options

#: A schema is a stranger's: its references and alternatives are followed so far, what lies deeper may be anything.
_DEPTH, _WAYS = 4, 16
_NAMES: dict[type, frozenset[str]] = {
    type(None): frozenset({"null"}),
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    str: frozenset({"string"}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
}
_ANY = frozenset[str]().union(*_NAMES.values())
#: How to say it where the schema does not.
FORCING = "-i K='\"3\"' is always the text 3; --input-file takes any JSON"


def typed(items: Iterable[str]) -> dict[str, str]:
    """Take `KEY=VALUE` inputs apart."""
    return options.pairs(items, "KEY=VALUE")


def ambiguous(values: dict[str, str]) -> bool:
    """Tell whether a schema has to say what is meant: some value is JSON, and no quoted text."""
    return any(not isinstance(_json_or_text(value), str) for value in values.values())


def read(values: dict[str, str], schema: dict[str, Any] | None) -> dict[str, Any]:
    """Read inputs: a value that is JSON of a type which *schema* allows for its key is that JSON, else it is text.

    Where the schema allows no text, or says nothing, any JSON is taken for what it is.
    """
    whole = schema or {}
    properties, others = _object(whole.get("properties")), whole.get("additionalProperties")
    return {key: _meant(value, _types(properties.get(key, others), whole)) for key, value in values.items()}


def _meant(value: str, allowed: frozenset[str]) -> Any:
    found = _json_or_text(value)
    return value if "string" in allowed and not _names(found) & allowed else found


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _types(schema: object, whole: dict[str, Any], depth: int = _DEPTH) -> frozenset[str]:
    """Return the types of JSON that a part of the schema *whole* allows, as far as that is plain to see."""
    part = _object(schema)
    found = _ANY
    if "type" in part:
        found &= frozenset(map(str, _list(part["type"])))
    if "enum" in part or "const" in part:
        values = _list(part["enum"]) if "enum" in part else [part["const"]]
        found &= frozenset[str]().union(*map(_names, values))
    if not depth:
        return found
    if isinstance(part.get("$ref"), str):
        found &= _types(_referred(part["$ref"], whole), whole, depth - 1)
    for word in ("anyOf", "oneOf"):
        ways = _list(part.get(word, []))
        if 0 < len(ways) <= _WAYS:
            found &= frozenset[str]().union(*(_types(one, whole, depth - 1) for one in ways))
    for one in _list(part.get("allOf", []))[:_WAYS]:
        found &= _types(one, whole, depth - 1)
    return found


def _names(value: object) -> frozenset[str]:
    return next((names for kind, names in _NAMES.items() if type(value) is kind), _ANY)


def _referred(reference: str, whole: dict[str, Any]) -> object:
    """Return what a reference inside the schema names; None where it leads nowhere."""
    found: object = whole
    for name in reference.removeprefix("#").split("/")[1:]:
        found = _object(found).get(name.replace("~1", "/").replace("~0", "~"))
    return found


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]
