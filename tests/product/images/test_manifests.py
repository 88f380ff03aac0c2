"""Files of a project that strangers wrote."""

import pytest

from skep.kernel import bounded_toml
from skep.kernel.errors import InvalidError
from skep.product.images.model import Install, SourceListing
from skep.product.images.planning import manifests


@pytest.mark.parametrize(
    "text",
    [
        "a." * 100_000 + "a = 1",
        "[" + "a." * 100_000 + "a]",
        '"a"."b" . ' * 30_000 + "c = 1",
        "a = " + "[" * 100_000,
        "a = " + "{a = " * 20_000,
        "no toml [",
        "x" * 2000 + " = 1\n" * 200,
    ],
)
def test_a_text_that_would_cost_more_than_its_size(text: str):
    """It is refused in one way before it costs anything; 200 KiB of a dotted key took 40 GB."""
    listing = SourceListing(files={}, texts={"pyproject.toml": text}, digest="")
    with pytest.raises(InvalidError, match=r"pyproject\.toml is wrong") as caught:
        manifests.pyproject(listing)
    assert caught.value.code == "project_invalid"


def test_what_people_write():
    """Dotted keys, quoted ones, many tables."""
    text = '[tool.x."y.z".w]\na.b.c = 1\n' + "".join(f"[t{i}.a.b]\n" for i in range(1000))
    assert bounded_toml.loads(text, limit=100_000)["tool"]["x"]["y.z"]["w"] == {"a": {"b": {"c": 1}}}
    with pytest.raises(bounded_toml.TomlError, match="more than 10 characters"):
        bounded_toml.loads(text, limit=10)


@pytest.mark.parametrize(
    ("line", "elsewhere"),
    [
        ("a[b, c] >=1,<2 ; python_version > '3'", False),
        ("a  [b]", False),
        ("a @ https://x/a.whl", True),
        ("-r more.txt", True),
        ("a" + " " * 250_000 + "%", True),
        ("a" * 250_000 + "%", True),
        ("a" + " " * 250_000 + "[" + "x" * 250_000, True),
    ],
    ids=lambda value: value[:10] if isinstance(value, str) else None,
)
def test_a_requirement_is_read_in_one_go(line: str, elsewhere: bool):
    """Whether it is a plain one; a long line costs what it is long, where its square would stop the server."""
    listing = SourceListing(files={}, texts={"requirements.txt": line}, digest="")

    assert manifests.python_leads_elsewhere(listing, Install.REQUIREMENTS, {}) is elsewhere
