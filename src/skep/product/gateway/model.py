"""What may leave a sandbox, and what did."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of an allow-list, as `policy.parse_rule` reads it."""

    #: Normalised; without the `*.` of a suffix rule.
    host: str
    #: None means any port.
    port: int | None = None
    #: True for `*.example.org`: every name below it, not the name itself.
    suffix: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return ("*." if self.suffix else "") + host + ("" if self.port is None else f":{self.port}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one door lets through; an empty `allow` lets nothing through."""

    allow: tuple[Rule, ...] = ()
    #: host:port that the operator named: good at any address, also a private or a loopback one.
    private: tuple[Rule, ...] = ()
    #: Hosts that the operator named as package index: an internal mirror may have a private address.
    internal: tuple[Rule, ...] = ()
    #: What may be reached and who can change that, for the person who wanted something else.
    advice: str = ""


class AddressKind(StrEnum):
    """What an address stands for, as far as letting a stranger connect to it goes."""

    #: Somewhere on the internet.
    PUBLIC = "public"
    #: A private, shared or reserved network.
    PRIVATE = "private"
    #: The machine itself, also as "unspecified".
    LOOPBACK = "loopback"
    #: The link, where cloud machines find their credentials (169.254.169.254).
    LINK_LOCAL = "link-local"
    #: A group, or everybody.
    MULTICAST = "multicast"
    #: An IPv6 address that carries an IPv4 one (NAT64, 6to4, Teredo), or one that nobody routes.
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a connection may be made; `reason` says why not, for the person who wanted it."""

    allowed: bool
    reason: str = ""


class Refusal(StrEnum):
    """Why the door itself said no."""

    #: Host and port are on no list.
    UNLISTED = "unlisted"
    #: The name is on a list, its address is one that only the operator can allow.
    ADDRESS = "address"
    #: The request is malformed, comes from a web page, or is one too many.
    REQUEST = "request"
    #: A file is not what its digest says, or does not come whole: it was cut off before its end.
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRecord:
    """One connection that a sandbox made or tried to make."""

    host: str
    port: int
    allowed: bool
    #: Why it was refused, or why it broke off; "" when all went well.
    reason: str = ""
    #: None also where nobody refused and it failed all the same: an unknown name, a server that is away.
    refusal: Refusal | None = None
    #: The address that was dialled.
    address: str = ""
    bytes_up: int = 0
    bytes_down: int = 0
    duration_s: float = 0.0
    #: True when the byte limit cut it off.
    over_limit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """A file of a package index, named by what it holds."""

    #: As the index names it: "requests-2.32.5-py3-none-any.whl".
    filename: str
    #: Where the lock says that it is.
    url: str
    #: Lower-case hex.
    sha256: str


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file holds."""

    #: sha256 or sha512.
    algorithm: str
    #: Lower-case hex.
    hex: str
