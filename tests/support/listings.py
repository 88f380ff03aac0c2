"""Sources as a build's sandbox lists them."""

from collections.abc import Mapping

from skep.library.frameworks import load
from skep.product.images.fetch.inside import wanted
from skep.product.images.model import Recognised, SourceListing
from skep.product.images.planning.recognising import recognise


def listing(texts: Mapping[str, str]) -> SourceListing:
    """Make a listing of files with these texts; only those come with it that a framework wants to see."""
    patterns = [pattern for framework in load([]) for pattern in framework.reads]
    return SourceListing(
        files={name: len(text) for name, text in texts.items()},
        texts={name: text for name, text in texts.items() if wanted(name, patterns)},
        digest="0" * 64,
    )


def found(texts: Mapping[str, str], command: tuple[str, ...] = ()) -> Recognised:
    """Recognise as a build does."""
    return recognise(listing(texts), load([]), command)
