"""What is said of things that a source names, or may count on, and does not hold."""

import pytest
from plans import source

from skep.product.images.fetch.left_out import notices
from skep.product.images.model import Install

PROJECT = '[project]\nname="a"\ndependencies=["six"]\n'


def test_a_folder_without_a_lock_of_its_own() -> None:
    """A lock above it is not taken: its owner is told that versions are chosen anew, and what to do."""
    (told,) = notices(source(pyproject__toml=PROJECT), folder="packages/a", install=Install.PYPROJECT)

    assert told.startswith("packages/a has no uv.lock, so versions are chosen anew")
    assert "workspace's root" in told
    assert "beside its pyproject.toml" in told


@pytest.mark.parametrize(
    ("folder", "install"),
    [("", Install.PYPROJECT), ("a", Install.UV_LOCK), ("a", Install.REQUIREMENTS), ("a", Install.NOTHING)],
)
def test_where_no_lock_is_missed(folder: str, install: Install) -> None:
    """The whole of a source has nothing above it; a lock beside, or another list, is what is installed from."""
    assert notices(source(pyproject__toml=PROJECT), folder=folder, install=install) == ()
