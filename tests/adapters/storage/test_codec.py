"""Values become JSON and come back, or say what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.adapters.storage.codec import CodecError, decoder, encoder
from skep.product.access.model import Scope
from skep.product.agents.model import AgentConfig, Resources
from skep.product.images.model import FilesSource, GitSource, ImageSource, Source, UploadSource
from skep.product.sandboxes.model import Exit, Handle
from skep.testing import samples

_TEXT = st.text(max_size=8)
_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


def through(type_, value):
    """Return *value* after a journey through JSON text."""
    return decoder(type_)(json.loads(json.dumps(encoder(type_)(value))))


@pytest.mark.parametrize("type_", [Exit, Handle, Resources, GitSource, FilesSource, UploadSource, ImageSource])
@given(data=st.data())
def test_whatever_goes_in_comes_out(type_, data):
    """Any value of a type that holds no free JSON survives the journey."""
    value = data.draw(st.builds(type_).filter(lambda made: "nan" not in repr(made)))
    assert through(type_, value) == value


@given(schema=st.none() | st.dictionaries(_TEXT, _PLAIN), command=st.lists(_TEXT).map(tuple))
def test_free_json_comes_out_as_it_was(schema, command):
    """Nested configuration, with a JSON Schema in it."""
    config = AgentConfig(command=command, inputs_schema=schema, resources=Resources(cpus=1.5))
    assert through(AgentConfig, config) == config


def test_a_union_says_its_kind():
    """The stored word does not depend on the class's name."""
    assert encoder(Source)(ImageSource(name="x")) == {"kind": "image", "name": "x"}
    assert through(Source | None, samples.BUILD.source) == samples.BUILD.source
    assert through(Source | None, None) is None


def test_sets_are_sorted():
    """The same value is always the same text."""
    assert encoder(frozenset[Scope])(frozenset({Scope.READ, Scope.ADMIN})) == ["admin", "read"]


def test_a_field_with_a_default_may_be_missing():
    """Rows of an older version can be read."""
    assert decoder(Exit)({"reason": "exited", "code": 0}).duration_s == 0.0


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Exit, {"reason": "exited", "new_field": 1}),
        (Exit, {"code": 0}),
        (Exit, {"reason": "vanished"}),
        (Exit, {"reason": ["exited"]}),
        (Exit, {"reason": "exited", "code": "0"}),
        (Exit, {"reason": "exited", "code": True}),
        (Exit, []),
        (Source, {"kind": "pickle", "name": "x"}),
        (Source, {"name": "x"}),
        (tuple[str, ...], ["a", 1]),
        (tuple[str, ...], "ab"),
    ],
)
def test_what_does_not_fit_is_refused(type_, value):
    """Nothing is guessed, converted or left out."""
    with pytest.raises(CodecError):
        decoder(type_)(value)


def test_a_type_without_a_codec_is_a_mistake_in_the_program():
    """It shows when the store is made, not when the first row is read."""
    for type_ in (set, bytearray, list[str]):
        with pytest.raises(TypeError):
            encoder(type_)
        with pytest.raises(TypeError):
            decoder(type_)
