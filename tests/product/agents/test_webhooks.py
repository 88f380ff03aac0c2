"""Pushes: which of them an agent is built from."""

import pytest

from skep.product.agents.webhooks import RefChange, RefKind, concerns
from skep.product.images.model import FilesSource, GitSource

BRANCH = RefChange(kind=RefKind.BRANCH, name="main", commit="1" * 40)
DEFAULT = RefChange(kind=RefKind.BRANCH, name="main", commit="1" * 40, default=True)
NO_DEFAULT = RefChange(kind=RefKind.BRANCH, name="main", commit="1" * 40, default=False)
TAG = RefChange(kind=RefKind.TAG, name="v1", commit="1" * 40)


@pytest.mark.parametrize(
    ("ref", "change", "expected"),
    [
        *((ref, BRANCH, None) for ref in (None, "HEAD")),
        *((ref, DEFAULT, True) for ref in (None, "HEAD")),
        *((ref, NO_DEFAULT, False) for ref in (None, "HEAD")),
        *((ref, TAG, False) for ref in (None, "HEAD")),
        *((ref, NO_DEFAULT, True) for ref in ("main", "heads/main", "refs/heads/main")),
        *((ref, DEFAULT, False) for ref in ("other", "tags/main", "refs/tags/main", "pull/1/head", "1111111")),
        *((ref, TAG, True) for ref in ("v1", "tags/v1", "refs/tags/v1")),
        *((ref, TAG, False) for ref in ("v2", "heads/v1", "refs/heads/v1")),
    ],
)
def test_which_pushes_are_of_what_an_agent_is_built_from(ref, change, expected) -> None:
    """Whatever git itself takes for the branch or the tag; the default branch is what the news say it is."""
    assert concerns(GitSource(url="https://git.example/a.git", ref=ref), change) is expected


def test_no_push_is_of_files() -> None:
    """What is no repository is never pushed to."""
    assert concerns(FilesSource(files={}), DEFAULT) is False
