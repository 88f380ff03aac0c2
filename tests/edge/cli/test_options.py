"""How values on the command line are read."""

import pytest
import typer

from skep.edge.cli import options


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
