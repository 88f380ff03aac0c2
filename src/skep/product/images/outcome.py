"""What an attempt at a build brings about, before it is recorded."""

from dataclasses import dataclass

from skep.product.images.model import Explanation, Recognised
from skep.product.sandboxes.model import LayerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What an attempt found out before it made anything."""

    recognised: Recognised
    commit: str
    base_fingerprint: str
    source_digest: str
    explanation: Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What an attempt has made."""

    planned: Planned
    layers: tuple[LayerId, ...]
    #: Bytes of all its layers, also of those that it found made.
    size: int
