"""How inputs on the command line are read."""

import json
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from skep.edge.cli import inputs

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
STRING = {"type": "string"}


def read(text: str, schema: object = None) -> Any:
    """Read the input `key` of an agent that says *schema* of it."""
    whole = {"properties": {"key": schema}, "$defs": {"name": STRING}} if schema is not None else None
    return inputs.read(inputs.typed([f"key={text}"]), whole)["key"]


@given(VALUES)
def test_an_input_that_is_json_is_that_json(value: object) -> None:
    """Numbers, lists and objects keep their type where no schema speaks."""
    assert read(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["bees", "3 bees", "a=b=c", "", "NaN", "Infinity", "{broken"])
def test_any_other_input_is_text(text: str) -> None:
    """What does not parse is a string, all after the first equals sign."""
    assert read(text) == text
    assert read(text, {"type": "integer"}) == text


@pytest.mark.parametrize("text", ["2026", "3", "null", "true", "1.50", "[1]", "{}"])
@pytest.mark.parametrize(
    "schema",
    [
        STRING,
        {"type": ["string"]},
        {"$ref": "#/$defs/name"},
        {"allOf": [{"$ref": "#/$defs/name"}]},
        {"anyOf": [STRING, {"type": "string", "maxLength": 3}]},
        {"enum": ["3", "4"]},
        {"const": "3"},
    ],
)
def test_what_is_to_be_text_is_text(text: str, schema: object) -> None:
    """Where the schema says string, whatever is typed is meant as it stands."""
    assert read(text, schema) == text


@pytest.mark.parametrize(
    ("text", "schema", "meant"),
    [
        ("3", {"type": "integer"}, 3),
        ("3", {"type": "number"}, 3),
        ("3", {}, 3),
        ("3", {"title": "N"}, 3),
        ("3", {"type": "boolean"}, 3),
        ("null", {"anyOf": [STRING, {"type": "null"}]}, None),
        ("3", {"anyOf": [STRING, {"type": "null"}]}, "3"),
        ("3", {"type": ["string", "integer"]}, 3),
        ("true", {"type": ["string", "integer"]}, "true"),
        ('"3"', STRING, "3"),
        ('"3"', {}, "3"),
        ("3", {"$ref": "#/nowhere"}, 3),
        ("3", {"$ref": "#/properties/key"}, 3),
        ("3", {"anyOf": [{"$ref": "#/properties/key"}] * 1000}, 3),
        ("3", "nonsense", 3),
    ],
)
def test_json_is_json_where_the_schema_allows_it(text: str, schema: object, meant: object) -> None:
    """Also beside text; quoted it is text everywhere; a schema that says nothing plain allows anything."""
    assert read(text, schema) == meant
    assert type(read(text, schema)) is type(meant)


def test_what_other_inputs_may_be_counts() -> None:
    """A schema may speak of inputs that it does not name."""
    assert inputs.read({"key": "3"}, {"additionalProperties": STRING}) == {"key": "3"}
    assert inputs.read({"key": "3"}, {"additionalProperties": True}) == {"key": 3}


def test_the_schema_is_asked_for_when_it_matters() -> None:
    """Plain text is text whatever it says."""
    assert not inputs.ambiguous({"a": "bees", "b": '"3"'})
    assert inputs.ambiguous({"a": "bees", "b": "3"})


@pytest.mark.parametrize("item", ["novalue", "=value"])
def test_an_input_needs_a_name(item: str) -> None:
    """A forgotten equals sign is a mistake, not an empty value."""
    with pytest.raises(typer.BadParameter):
        inputs.typed([item])
