"""/hosts: which ssh servers' keys the project has kept."""

from skep.edge.api.auth import Admin
from skep.edge.api.routing import Uses, native
from skep.edge.wire.common import Listing
from skep.edge.wire.repositories import HostForgotten, HostView
from skep.kernel.clock import from_ms
from skep.product.gateway.policy import parse_rule
from skep.product.images.fetch.host_keys import parse_key
from skep.product.images.fetch.keyring import SeenKey

router = native("hosts")


@router.get("/hosts")
async def list_hosts(caller: Admin, uses: Uses) -> Listing[HostView]:
    """List the ssh servers whose keys the project has kept, with their fingerprints."""
    return Listing(items=[_shown(seen) for seen in await uses.keyring.hosts(caller)])


@router.delete("/hosts/{host}")
async def forget_host(caller: Admin, uses: Uses, host: str) -> HostForgotten:
    """Forget the key of a server (`host` or `host:port`): the next one that it shows is kept instead."""
    rule = parse_rule(host)
    return HostForgotten(forgotten=await uses.keyring.forget(caller, rule.host, rule.port))


def _shown(seen: SeenKey) -> HostView:
    key = parse_key(seen.key)
    return HostView(
        host=seen.host,
        port=seen.port,
        type=key.type,
        fingerprint=key.fingerprint,
        created_at=from_ms(seen.created_ms),
    )
