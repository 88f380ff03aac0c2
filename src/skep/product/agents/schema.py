"""JSON Schemas of inputs: checked when an agent is made, applied when a run is asked for.

Both the schema and the inputs come from strangers. So nothing is fetched (references stay inside the schema),
patterns run on RE2, whose time is linear, and the work of one check is counted and bounded.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from jsonschema import Draft7Validator, Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from skep.kernel.errors import InvalidError
from skep.product.agents.keywords import OWN, Keyword, PatternError, compile_pattern, nearest

#: Largest schema, as JSON text.
MAX_SCHEMA_BYTES = 65_536
#: Largest inputs, as JSON text.
MAX_INPUT_BYTES = 1 << 20
#: Keywords applied in one check: some seconds of one thread, at the very most.
MAX_STEPS = 200_000
_MAX_FIELDS = 50
_MAX_MESSAGE = 200
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DRAFTS: Mapping[str, Any] = {
    "http://json-schema.org/draft-07/schema": Draft7Validator,
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
}


class _TooMuchError(Exception):
    """The check took more steps than it may."""


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise `InvalidError` unless *schema* is a JSON Schema that can be applied safely."""
    if len(_text(schema, "inputs_schema")) > MAX_SCHEMA_BYTES:
        raise _bad_schema(f"it is larger than {MAX_SCHEMA_BYTES} bytes")
    try:
        _draft(schema).check_schema(schema)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        raise _bad_schema(f"{where or 'the schema'}: {_short(error.message)}") from error
    except RecursionError as error:
        raise _bad_schema("it is nested too deeply") from error
    keywords: set[str] = set()
    for key, value in _members(schema):
        keywords.add(key)
        _check_member(key, value)
    if {"patternProperties", "unevaluatedProperties"} <= keywords:
        raise _bad_schema("patternProperties and unevaluatedProperties together are not supported")


def check_inputs(inputs: Mapping[str, Any], schema: Mapping[str, Any] | None) -> None:
    """Raise `InvalidError`, with each wrong field named, unless *inputs* fit *schema* (None: any object fits)."""
    if len(_text(inputs, "inputs")) > MAX_INPUT_BYTES:
        raise InvalidError(
            f"The inputs are larger than {MAX_INPUT_BYTES} bytes.",
            code="inputs_too_large",
            fields={"inputs": "too large"},
        )
    fields = {} if schema is None else misfits(dict(inputs), schema, "inputs")
    if fields:
        raise InvalidError(
            "The inputs do not fit the agent's schema: " + "; ".join(f"{k}: {v}" for k, v in list(fields.items())[:5]),
            code="inputs_invalid",
            hint="Send inputs that fit; GET /api/v1/agents/{id} shows the schema.",
            fields=fields,
        )


def misfits(value: Any, schema: Mapping[str, Any], what: str) -> dict[str, str]:
    """Return field -> what is the matter of a JSON *value*; the name of it as a whole is *what*.

    Raises:
        InvalidError: the check takes too long, or the schema is not good.
    """
    fields: dict[str, str] = {}
    try:
        for error in _checker(schema).iter_errors(value):
            fields.update(_wrong(error, what))
            if len(fields) >= _MAX_FIELDS:
                break
    except (_TooMuchError, RecursionError) as error:
        raise InvalidError(
            f"Checking the {what} takes too long: they, or the schema, are too involved.", code=f"{what}_too_complex"
        ) from error
    except Unresolvable as error:
        raise _bad_schema(f"a reference leads nowhere: {_short(str(error))}") from error
    return fields


def _check_member(key: str, value: Any) -> None:
    if key in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
        raise _bad_schema(f"{key} {_short(value)}: only references inside the schema (#...) are followed")
    if key == "pattern" and isinstance(value, str):
        _pattern(value)
    if key == "patternProperties" and isinstance(value, dict):
        for pattern in cast("dict[str, Any]", value):
            _pattern(pattern)


def _members(schema: Any) -> Iterator[tuple[str, Any]]:
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            members = cast("dict[str, Any]", node)
            yield from members.items()
            waiting.extend(members.values())
        elif isinstance(node, list):
            waiting.extend(cast("list[Any]", node))


def _draft(schema: Mapping[str, Any]) -> Any:
    named = schema.get("$schema")
    if named is None:
        return Draft202012Validator
    found = _DRAFTS.get(str(named).rstrip("#"))
    if found is None:
        raise _bad_schema(f"$schema {_short(str(named))} is not known; use draft 2020-12 or draft-07")
    return found


def _checker(schema: Mapping[str, Any]) -> Any:
    """Return a validator that counts its steps; it looks nothing up outside of *schema*."""
    left = MAX_STEPS

    def counted(keyword: Keyword) -> Keyword:
        def apply(validator: Any, value: Any, instance: Any, parent: Any) -> Iterable[ValidationError]:
            nonlocal left
            left -= 1
            if left < 0:
                raise _TooMuchError
            return keyword(validator, value, instance, parent) or ()

        return apply

    draft = _draft(schema)
    keywords = {name: counted(keyword) for name, keyword in {**draft.VALIDATORS, **OWN}.items()}
    extended: Any = cast("Any", validators).extend(draft, keywords)
    return extended(dict(schema), registry=cast("Any", Registry)())


def _pattern(pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except PatternError as error:
        raise _bad_schema(f"pattern {_short(pattern)}: {_short(str(error))} (patterns are RE2's)") from error


def _wrong(error: ValidationError, what: str) -> dict[str, str]:
    """Return field -> what is the matter; of alternatives, the one that was nearest to fitting."""
    error = nearest(error)
    where = ".".join(str(part) for part in error.absolute_path)
    return {where or what: _short(error.message)}


def _text(value: Any, what: str) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError(f"{what} is no JSON: {_short(str(error))}", fields={what: "no JSON"}) from error


def _short(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "..."


def _bad_schema(why: str) -> InvalidError:
    return InvalidError(
        f"The schema of the inputs is not good: {why}.", code="schema_invalid", fields={"inputs_schema": why}
    )
