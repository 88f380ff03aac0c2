"""Keywords of JSON Schema that the library does not do as we need: linear in time, and naming the wrong field."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import jsonschema.exceptions
import re2 as re2_untyped  # pyright: ignore[reportMissingTypeStubs]
from jsonschema.exceptions import ValidationError

Keyword = Callable[[Any, Any, Any, Any], Iterable[ValidationError] | None]

_re2: Any = re2_untyped


class PatternError(ValueError):
    """The pattern is none that RE2 knows; the message is RE2's own."""


def compile_pattern(pattern: str) -> Any:
    """Compile *pattern* with RE2: the time of a search is linear in the text."""
    options = _re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return _re2.compile(pattern, options)
    except _re2.error as error:
        said = error.args[0] if error.args else ""
        raise PatternError(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from error


def nearest(error: ValidationError) -> ValidationError:
    """Return, of the alternatives that all failed, the error of the one that was nearest to fitting."""
    best: ValidationError | None = cast("Any", jsonschema.exceptions).best_match([error])
    return error if best is None else best


def _check_pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not compile_pattern(pattern).search(instance):
        yield ValidationError(f"does not match the pattern {pattern}")


def _check_pattern_properties(
    validator: Any, patterns: dict[str, Any], instance: Any, _: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, schema in patterns.items():
        compiled = compile_pattern(pattern)
        for name, value in instance.items():
            if compiled.search(name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _check_additional(validator: Any, extra_schema: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    known = schema.get("properties", {})
    patterns = [compile_pattern(pattern) for pattern in schema.get("patternProperties", {})]
    for name, value in instance.items():
        if name in known or any(pattern.search(name) for pattern in patterns):
            continue
        if extra_schema is False:
            yield ValidationError("is not expected", path=(name,))
        elif extra_schema is not True:
            yield from validator.descend(value, extra_schema, path=name)


def _check_required(validator: Any, required: list[str], instance: Any, _: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        yield from (ValidationError("is missing", path=(name,)) for name in required if name not in instance)


def _check_unique(validator: Any, wanted: bool, instance: Any, _: Any) -> Iterator[ValidationError]:
    if not wanted or not validator.is_type(instance, "array"):
        return
    if len({json.dumps(_same_numbers(item), sort_keys=True) for item in instance}) < len(instance):
        yield ValidationError("has the same item twice")


def _same_numbers(value: Any) -> Any:
    """Return *value* with 1.0 as 1: they are the same number in JSON Schema."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_same_numbers(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _same_numbers(item) for key, item in cast("dict[str, Any]", value).items()}
    return value


#: Instead of the library's: linear in time, and they name the field that is wrong.
OWN: Mapping[str, Keyword] = {
    "pattern": _check_pattern,
    "patternProperties": _check_pattern_properties,
    "additionalProperties": _check_additional,
    "required": _check_required,
    "uniqueItems": _check_unique,
}
