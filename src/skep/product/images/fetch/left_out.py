"""What a source names and does not hold: said to its owner, who may wonder later why it is not there. Pure."""

from collections.abc import Iterator

from skep.product.images.model import SourceListing

_SHOWN = 5


def notices(listing: SourceListing) -> tuple[str, ...]:
    """Say what was left out of a source."""
    return tuple(_notices(listing))


def _notices(listing: SourceListing) -> Iterator[str]:
    if ".gitmodules" in listing.files:
        yield "it has submodules (.gitmodules), which are not fetched: their folders are empty"
    if pointers := listing.pointers:
        names = ", ".join(repr(name[:200]) for name in pointers[:_SHOWN])
        more = "" if len(pointers) <= _SHOWN else " and others"
        yield f"Git LFS keeps these files elsewhere, and only pointers to them are here: {names}{more}"
