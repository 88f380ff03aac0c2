"""/runtimes: what can run agents."""

from skep.edge.api.auth import Reader
from skep.edge.api.routing import Uses, native
from skep.edge.wire.common import Listing
from skep.edge.wire.runtimes import RuntimeView
from skep.product.images.layers.runtimes import KnownRuntime

router = native("system")


@router.get("/runtimes")
async def list_runtimes(caller: Reader, uses: Uses) -> Listing[RuntimeView]:
    """List the runtimes of this machine: those that are there, and those that are made when they are first needed."""
    return Listing(items=[_view(known) for known in await uses.runtimes.all(caller)])


def _view(given: KnownRuntime) -> RuntimeView:
    return RuntimeView(
        name=f"{given.language.value}-{given.version}",
        language=given.language,
        version=given.version,
        origin=given.origin,
        fingerprint=given.fingerprint,
        there=given.there,
        size_bytes=given.size,
    )
