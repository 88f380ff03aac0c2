"""What an IP address stands for. Pure; it judges the address that will be dialled, never a name."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from skep.product.gateway.model import AddressKind

#: IPv6 that stands for an IPv4 address somewhere else: NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056),
#: Teredo (RFC 4380), IPv4-compatible (RFC 4291), SIIT (RFC 2765).
_CARRIERS = tuple(
    IPv6Network(text)
    for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96")
)
#: Only this part of IPv6 is given out (RFC 4291, IANA's global unicast).
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_THIS_HOST = IPv4Network("0.0.0.0/8")
_BROADCAST = IPv4Address("255.255.255.255")


def judge(text: str) -> AddressKind:
    """Say what the address *text* stands for; what is no plain address is `UNUSABLE`."""
    try:
        address = ip_address(text)
    except ValueError:
        return AddressKind.UNUSABLE
    if isinstance(address, IPv6Address):
        return _judge6(address)
    return _judge4(address)


def _judge4(address: IPv4Address) -> AddressKind:
    tests = (
        (address.is_loopback or address in _THIS_HOST, AddressKind.LOOPBACK),
        (address.is_link_local, AddressKind.LINK_LOCAL),
        (address.is_multicast or address == _BROADCAST, AddressKind.MULTICAST),
        (address.is_private or address.is_reserved or not address.is_global, AddressKind.PRIVATE),
    )
    return next((kind for applies, kind in tests if applies), AddressKind.PUBLIC)


def _judge6(address: IPv6Address) -> AddressKind:
    if (mapped := address.ipv4_mapped) is not None:
        return _judge4(mapped)
    tests = (
        (address.scope_id is not None, AddressKind.UNUSABLE),
        (address.is_loopback or address.is_unspecified, AddressKind.LOOPBACK),
        (address.is_link_local, AddressKind.LINK_LOCAL),
        (address.is_multicast, AddressKind.MULTICAST),
        (any(address in network for network in _CARRIERS), AddressKind.UNUSABLE),
        (address.is_private or address not in _GLOBAL_UNICAST or not address.is_global, AddressKind.PRIVATE),
    )
    return next((kind for applies, kind in tests if applies), AddressKind.PUBLIC)
