"""Where the door of a sandbox leads while a layer is made: what is let through, and what the door answers itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skep.product.gateway.model import LockedFile, Policy, Rule
from skep.product.gateway.ports import Mirrors, Site
from skep.product.images import refusals
from skep.product.images.options import BuildOptions
from skep.product.images.planning.steps import Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a door does for one stage."""

    policy: Policy
    #: By the first segment of their paths.
    sites: Mapping[str, Site]


def opening(reach: Reach, options: BuildOptions, mirrors: Mirrors, *, locked: tuple[LockedFile, ...] = ()) -> Opening:
    """Return what the door does for *reach*; nobody but the user's own code may have more than it needs."""
    match reach:
        case Reach.NOTHING:
            return Opening(policy=Policy(), sites={})
        case Reach.LOCKED:
            return Opening(policy=Policy(), sites={"locked": mirrors.locked(locked)})
        case Reach.PYTHON_INDEX:
            return Opening(policy=_policy(options, options.index_hosts), sites={"pypi": mirrors.python()})
        case Reach.NPM:
            return Opening(policy=_policy(options, options.index_hosts), sites={"npm": mirrors.npm()})
        case Reach.PYTHON_COPIES:
            return Opening(policy=_policy(options, options.python_hosts), sites={})


def _policy(options: BuildOptions, hosts: Sequence[Rule]) -> Policy:
    return Policy(
        allow=tuple(hosts),
        internal=tuple(hosts),
        private=options.allow_private,
        advice=refusals.while_installing(hosts),
    )
