"""How values on the command line are read."""

import json

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from skep.edge.cli import options

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("text", "mb"), [("512M", 512), ("512", 512), ("512mb", 512), ("2g", 2048), ("1.5GiB", 1536), ("2048k", 2)]
)
def test_memory(text, mb):
    """Amounts are written as docker writes them."""
    assert options.memory_mb(text) == mb


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("60", 60), ("5m", 300), ("1.5h", 5400), ("500ms", 0.5)])
def test_time(text, seconds):
    """Lengths of time have their usual units."""
    assert options.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "lots", "-5", "5 parsecs", "1e3", "٣s x"])
def test_what_is_no_quantity_is_refused(text):
    """The command line is wrong, and says what was expected."""
    with pytest.raises(typer.BadParameter):
        options.memory_mb(text)
    with pytest.raises(typer.BadParameter):
        options.seconds(text)


@given(VALUES)
def test_an_input_that_is_json_is_that_json(value):
    """Numbers, lists and objects keep their type."""
    assert options.inputs([f"key={json.dumps(value)}"]) == {"key": value}


@pytest.mark.parametrize("text", ["bees", "3 bees", "a=b=c", "", "NaN", "Infinity", "{broken"])
def test_any_other_input_is_text(text):
    """What does not parse is a string, all after the first equals sign."""
    assert options.inputs([f"key={text}"]) == {"key": text}


@pytest.mark.parametrize("item", ["novalue", "=value"])
def test_an_input_needs_a_name(item):
    """A forgotten equals sign is a mistake, not an empty value."""
    with pytest.raises(typer.BadParameter):
        options.inputs([item])
