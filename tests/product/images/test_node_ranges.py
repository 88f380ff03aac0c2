"""The ranges of versions that package.json writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.product.images.planning.node_ranges import satisfies


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ("", True),
        ("*", True),
        ("24", True),
        ("24.x", True),
        ("24.19", True),
        ("v24.19.0", True),
        ("=24.19.0", True),
        ("24.19.1", False),
        ("20", False),
        (">=18", True),
        (">= 18.17.0", True),
        (">24", False),
        (">24.18", True),
        ("<24", False),
        ("<=24", True),
        ("<=24.18", False),
        ("^24.1.0", True),
        ("^24.20", False),
        ("^22", False),
        ("^0.1", False),
        ("~24.19.0", True),
        ("~24.18", False),
        ("~24", True),
        ("~>24.1", False),
        (">=18 <23", False),
        (">=18 <25", True),
        ("18 - 24", True),
        ("18 - 22.5", False),
        ("18 || 20 || >=22", True),
        ("18 || 20", False),
    ],
)
def test_what_is_read(wanted: str, fits: bool):
    """As npm reads it."""
    assert satisfies("24.19.0", wanted) is fits


@pytest.mark.parametrize("wanted", ["lts/*", ">=18.0.0-rc.1", "a", "24 || lts", "1.2.3.4", "x" * 300, ">= "])
def test_what_is_not_read(wanted: str):
    """It is said to be so, and not guessed."""
    assert satisfies("24.19.0", wanted) is None


@given(st.text(alphabet="0123456789.^~<>=|-xX* v", max_size=30))
def test_any_text_is_read_or_not(wanted: str):
    """Nothing else happens."""
    assert satisfies("24.19.0", wanted) in (True, False, None)
