"""The layers of this machine for those who look after it: what there is, and freeing exactly what nothing uses."""

from collections.abc import Collection
from dataclasses import dataclass

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database
from skep.product.access.model import Principal, Scope
from skep.product.access.service import require
from skep.product.images.layers.clearing import Clearing
from skep.product.images.model import Layer
from skep.product.images.ports import ImageStore
from skep.product.sandboxes.model import LayerId


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLayer:
    """A layer that is there."""

    layer: Layer
    #: True if an image names it, of whichever project.
    in_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """What went, or would go."""

    layers: tuple[Layer, ...]

    @property
    def bytes(self) -> int:
        """Their size on disk."""
        return sum(layer.size for layer in self.layers)


class ImageCare:
    """Shows and frees layers: a project's own and those that all share; whoever is good for all projects, all."""

    def __init__(self, db: Database, store: ImageStore, clearing: Clearing, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._clearing = clearing
        self._clock = clock

    async def layers(self, principal: Principal) -> list[KeptLayer]:
        """List the layers, the one that was used longest ago first."""
        require(principal, Scope.READ)
        shelved = await self._clearing.look()
        return [
            KeptLayer(layer=layer, in_use=layer.id in shelved.named)
            for layer in shelved.rows
            if _concerns(principal, layer)
        ]

    async def prune(
        self,
        principal: Principal,
        *,
        unused_ms: int = 0,
        dry_run: bool = False,
        named_in_vain: Collection[LayerId] = (),
    ) -> Freed:
        """Free the layers that no image names and no build counted on for *unused_ms*; return what went.

        What a build counts on at this moment, or a sandbox stands on, stays. With *dry_run* nothing goes: what would
        is returned, and *named_in_vain* are counted as not named.
        """
        require(principal, Scope.ADMIN)
        before_ms = to_ms(self._clock.now()) - unused_ms
        shelved = await self._clearing.look()
        named = shelved.named - set(named_in_vain if dry_run else ())
        free = [
            layer
            for layer in shelved.rows
            if layer.id not in named and layer.used_ms <= before_ms and _concerns(principal, layer)
        ]
        if dry_run:
            held = self._clearing.held()
            return Freed(layers=tuple(layer for layer in free if layer.id not in held))
        gone = set(await self._clearing.drop([layer.id for layer in free]))
        return Freed(layers=tuple(layer for layer in free if layer.id in gone))


def _concerns(principal: Principal, layer: Layer) -> bool:
    return principal.everywhere or layer.project_id in ("", principal.project_id)
