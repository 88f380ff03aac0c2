"""What a source names and does not hold: said to its owner, who may wonder later why it is not there. Pure."""

from collections.abc import Iterator

from skep.product.images.model import Install, SourceListing

_SHOWN = 5


def notices(listing: SourceListing, *, folder: str = "", install: Install = Install.NOTHING) -> tuple[str, ...]:
    """Say what was left out of a source.

    Args:
        listing: the source.
        folder: the folder of a larger tree that the source is; "" if it is all of it.
        install: what its dependencies are installed from.
    """
    return tuple(_notices(listing, folder, install))


def _notices(listing: SourceListing, folder: str, install: Install) -> Iterator[str]:
    # What lies above the folder is not listed: whether it is a member of a workspace cannot be known here.
    if folder and install is Install.PYPROJECT:
        yield (
            f"{folder[:200]} has no uv.lock, so versions are chosen anew: one above it, as of a uv workspace, is not "
            "taken. To have locked versions, put a uv.lock beside its pyproject.toml, or deploy the workspace's root, "
            "with this member among its dependencies"
        )
    if ".gitmodules" in listing.files:
        yield "it has submodules (.gitmodules), which are not fetched: their folders are empty"
    if pointers := listing.pointers:
        names = ", ".join(repr(name[:200]) for name in pointers[:_SHOWN])
        more = "" if len(pointers) <= _SHOWN else " and others"
        yield f"Git LFS keeps these files elsewhere, and only pointers to them are here: {names}{more}"
