"""The one parser of hosts, for policy and for connecting, and the decision. Pure: no names are resolved here."""

import re
from ipaddress import IPv6Address, ip_address

from skep.kernel.errors import InvalidError
from skep.product.gateway.addresses import judge
from skep.product.gateway.model import AddressKind, Decision, Policy, Rule

_MAX_HOST = 253
_MAX_INPUT = 1024
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
#: A last label that starts like a number makes some resolvers read the whole name as an address: 0x7f.1, 127.1.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_IPV4 = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_HINT = "Write it as host, host:port or *.suffix."


def normalise_host(text: str) -> str:
    """Return *text* as the one spelling of that host: lower case, IDNA, no trailing dot, no brackets.

    Raises:
        InvalidError: it is no host name and no plain address (user-info, NUL, spaces, octal, decimal or
            short addresses, zones, empty labels).
    """
    if not text or len(text) > _MAX_INPUT:
        raise _odd(text, "it is empty or too long")
    if text.startswith("["):
        if not text.endswith("]"):
            raise _odd(text, "the bracket is not closed")
        return _normalise_v6(text[1:-1])
    if ":" in text:
        return _normalise_v6(text)
    name = _to_ascii(text).lower()
    name = name.removesuffix(".")
    labels = name.split(".")
    if len(name) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise _odd(text, "it has characters or labels that no host name has")
    if _NUMBER.fullmatch(labels[-1]):
        return _normalise_v4(text, name)
    return name


def split_target(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Split `host:port` into the normalised host and the port.

    Raises:
        InvalidError: the host is odd, or the port is absent (without *default_port*) or no port.
    """
    host, port = _split_port(text)
    if port is None:
        if default_port is None:
            raise _odd(text, "it has no port")
        port = default_port
    return normalise_host(host), port


def parse_rule(text: str, default_port: int | None = None) -> Rule:
    """Read `host`, `host:port`, `*.suffix` or `*.suffix:port`; without a port it is *default_port*, None for any.

    Raises:
        InvalidError: it is none of these.
    """
    host, port = _split_port(text)
    port = default_port if port is None else port
    if not host.startswith("*."):
        return Rule(host=normalise_host(host), port=port)
    suffix = normalise_host(host[2:])
    if "." not in suffix:
        raise _odd(text, "a suffix needs at least two labels")
    if judge(suffix) is not AddressKind.UNUSABLE:
        raise _odd(text, "an address has no suffix")
    return Rule(host=suffix, port=port, suffix=True)


def matches(rule: Rule, host: str, port: int) -> bool:
    """Tell whether *rule* speaks of the normalised *host* and *port*."""
    if rule.port is not None and rule.port != port:
        return False
    return host.endswith("." + rule.host) if rule.suffix else host == rule.host


def decide(policy: Policy, host: str, port: int) -> Decision:
    """Decide by name alone; the address is decided on by `decide_address` once it is known."""
    if any(matches(rule, host, port) for rule in policy.allow):
        return Decision(allowed=True)
    return Decision(allowed=False, reason=f"{_show(host, port)} is not on the list of hosts that may be reached")


def decide_address(policy: Policy, host: str, port: int, address: str) -> Decision:
    """Decide whether *address*, to which the allowed *host* resolved, may be dialled."""
    kind = judge(address)
    if kind is AddressKind.PUBLIC:
        return Decision(allowed=True)
    if any(rule.port == port and not rule.suffix and matches(rule, host, port) for rule in policy.private):
        return Decision(allowed=True)
    if kind is AddressKind.PRIVATE and any(matches(rule, host, port) for rule in policy.internal):
        return Decision(allowed=True)
    return Decision(
        allowed=False,
        reason=f"{_show(host, port)} has the {kind} address {address}, and only the operator can allow that "
        f"(SKEP_EGRESS_ALLOW_PRIVATE={_show(host, port)})",
    )


def _show(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        end = text.find("]")
        if end < 0:
            raise _odd(text, "the bracket is not closed")
        host, rest = text[: end + 1], text[end + 1 :]
        if not rest:
            return host, None
        if not rest.startswith(":"):
            raise _odd(text, "something stands between the bracket and the port")
        return host, _port(text, rest[1:])
    # More than one colon without brackets can only be an IPv6 address without a port.
    if text.count(":") != 1:
        return text, None
    host, _, port = text.partition(":")
    return host, _port(text, port)


def _port(text: str, port: str) -> int:
    # `fullmatch` on ASCII digits: int() would also take other scripts' digits, " 80" and "8_0".
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise _odd(text, "the port is not a number from 1 to 65535")
    return int(port)


def _to_ascii(text: str) -> str:
    if text.isascii():
        return text
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise _odd(text, "it is no international host name") from error


def _normalise_v4(text: str, name: str) -> str:
    if not _IPV4.fullmatch(name):
        raise _odd(text, "an address is written as four decimal numbers")
    try:
        return str(ip_address(name))
    except ValueError as error:
        raise _odd(text, "an address is written as four decimal numbers") from error


def _normalise_v6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise _odd(text, "it is no IPv6 address") from error
    if address.scope_id is not None:
        raise _odd(text, "a zone means nothing here")
    # One spelling for one host: the mapped form is the IPv4 address itself.
    return str(address.ipv4_mapped or address)


def _odd(text: str, why: str) -> InvalidError:
    return InvalidError(f"{text[:80]!r} is not a host that Skep accepts: {why}.", code="host_invalid", hint=_HINT)
