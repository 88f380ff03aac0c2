"""Schemas of inputs, and inputs against them; both hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kernel.errors import InvalidError
from skep.product.agents.schema import MAX_INPUT_BYTES, check_inputs, check_schema

TOPIC = {
    "type": "object",
    "properties": {"topic": {"type": "string", "minLength": 1}, "n": {"type": "integer", "maximum": 10}},
    "required": ["topic"],
    "additionalProperties": False,
}
DRAFT7 = "http://json-schema.org/draft-07/schema#"


def test_each_wrong_field_is_named():
    """What is missing, too many, of the wrong type or too large is told by the field's name."""
    check_schema(TOPIC)
    check_inputs({"topic": "bees", "n": 3}, TOPIC)
    with pytest.raises(InvalidError) as caught:
        check_inputs({"n": 11, "other": 1}, TOPIC)
    assert caught.value.code == "inputs_invalid"
    assert caught.value.fields["topic"] == "is missing"
    assert caught.value.fields["other"] == "is not expected"
    assert set(caught.value.fields) == {"topic", "other", "n"}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "aaa"}, {"a": "a" * 50_000 + "b"}),
        ({"patternProperties": {"^x": {"type": "integer"}}}, {"xa": 1, "y": ""}, {"xa": ""}),
        ({"patternProperties": {"^x": {}}, "additionalProperties": {"type": "null"}}, {"x": 1, "y": None}, {"y": 1}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, 2, {"b": 1}]}, {"a": [{"b": 1}, {"b": 1.0}]}),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"b": 1}, {"c": 1}),
        ({"$ref": "#/$defs/t", "$defs": {"t": {"required": ["a"]}}}, {"a": 1}, {}),
        ({"$schema": DRAFT7, "$ref": "#/definitions/t", "definitions": {"t": {"maxProperties": 0}}}, {}, {"a": 1}),
        ({"properties": {"a": {"type": "array", "items": {"enum": ["x"]}}}}, {"a": ["x"]}, {"a": ["x", "y"]}),
    ],
)
def test_keywords(schema, good, bad):
    """The usual keywords work, and patterns take no longer for being nasty."""
    check_schema(schema)
    check_inputs(good, schema)
    with pytest.raises(InvalidError) as caught:
        check_inputs(bad, schema)
    assert caught.value.fields


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:1/schema"},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"$schema": "http://example.org/own"},
        {"pattern": "(?=a)b"},
        {"pattern": "(a"},
        {"patternProperties": {"(": {}}},
        {"patternProperties": {"a": {}}, "unevaluatedProperties": False},
        {"description": "x" * 70_000},
        {"const": float("nan")},
    ],
)
def test_bad_schemas_are_refused_at_once(schema):
    """What cannot be applied safely is refused when the agent is made, and the reason is given."""
    with pytest.raises(InvalidError) as caught:
        check_schema(schema)
    assert caught.value.fields


def bomb(depth):
    """A schema whose checking doubles with each level."""
    levels = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(depth)}
    return {"$ref": "#/$defs/l0", "$defs": {**levels, f"l{depth}": {"type": "object"}}}


@pytest.mark.parametrize("schema", [bomb(40), {"$ref": "#"}, {"properties": {"a": {"$ref": "#/$defs/none"}}}])
def test_endless_checks_end(schema):
    """References that double, loop or lead nowhere end in an error, soon."""
    check_schema(schema)
    with pytest.raises(InvalidError):
        check_inputs({"a": 1}, schema)


def test_deep_and_large_inputs_are_refused():
    """Inputs have a size; a nesting that no stack bears is an error and no crash."""
    with pytest.raises(InvalidError) as caught:
        check_inputs({"a": "x" * MAX_INPUT_BYTES}, None)
    assert caught.value.code == "inputs_too_large"
    deep = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(InvalidError):
        check_inputs(deep, {"properties": {"a": {"$ref": "#"}}})
    while deep:  # taken apart by hand: the interpreter's own way is recursive too
        deep = deep.pop("a")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(schema=st.dictionaries(st.sampled_from(["type", "properties", "pattern", "$ref", "items", "enum"]), JSON))
def test_a_schema_is_good_or_refused(schema):
    """Any JSON object as a schema is applied or refused with `InvalidError`; there is no third way."""
    try:
        check_schema(schema)
        check_inputs({"a": 1, "b": "text"}, schema)
    except InvalidError as error:
        assert error.message  # noqa: PT017  either way is right
