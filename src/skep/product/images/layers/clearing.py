"""Which sealed layers of this machine may go, and when nobody can be about to use them.

A layer may go when no image names it, no build holds it, and no sandbox stands on it; whether it should is a question
of `LayerRules`, or of somebody who wants the room.

A build looks which layers are there, and only later commits the image that names them. So a layer that no image
names may still be counted on: builds hold what they count on from before they look until after that commit.
Holds need not outlive the server: an attempt that died is made anew, and looks again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database
from skep.kernel.errors import ConflictError
from skep.product.images.model import Layer
from skep.product.images.ports import ImageStore
from skep.product.sandboxes.model import LayerId
from skep.product.sandboxes.ports import Sealing

log = logging.getLogger(__name__)

#: A layer without a row is one that a crash left: it is kept so long from when it was first seen.
UNUSED_S = 3_600.0
#: So many are removed before a build that waits for its turn gets it.
_AT_ONCE = 8

Hold = Callable[[Collection[LayerId]], Awaitable[None]]


class Shelf:
    """The layers that builds of this process count on."""

    def __init__(self) -> None:
        self._held: Counter[LayerId] = Counter()
        self._turn = asyncio.Lock()

    def held(self) -> set[LayerId]:
        """Return what is held at this moment."""
        return set(+self._held)

    @contextmanager
    def holding(self) -> Generator[Hold]:
        """Give a function that holds layers until the end of the context."""
        mine: list[LayerId] = []

        async def hold(layers: Collection[LayerId]) -> None:
            """Hold *layers*; nothing is being removed when this returns, and none of them will be."""
            async with self._turn:
                mine.extend(layers)
                self._held.update(layers)

        try:
            yield hold
        finally:
            self._held.subtract(mine)

    async def clear(self, unnamed: Callable[[], Awaitable[Collection[LayerId]]], drop: Hold) -> None:
        """Have *drop* remove what *unnamed* returns and nobody holds; nobody can begin to hold meanwhile.

        Who holds is asked before *unnamed* is: a hold that ends in between was turned into an image's name.
        """
        async with self._turn:
            held = self.held()
            await drop([layer for layer in await unnamed() if layer not in held])


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRules:
    """How long layers are kept that no image names: a later build may use them again."""

    #: Since a build last counted on it.
    unused_ms: int = 24 * 3_600_000
    #: Since it was made; None means: however old.
    age_ms: int | None = None
    #: All layers of the machine together: above that, those go first that were used longest ago; None means no limit.
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """The layers of a machine at one moment."""

    #: Those that are there and have a row, the one that was used longest ago first.
    rows: tuple[Layer, ...]
    #: Those that are there without a row.
    unaccounted: frozenset[LayerId]
    #: Those that an image names.
    named: frozenset[LayerId]
    #: Rows of layers that are not there.
    lost: tuple[LayerId, ...] = ()

    @property
    def unnamed(self) -> list[Layer]:
        """Those with a row that no image names."""
        return [layer for layer in self.rows if layer.id not in self.named]


def due(shelved: Shelved, rules: LayerRules, *, now_ms: int) -> Iterator[LayerId]:
    """Yield what should go by *rules*, least used first. Pure."""
    over = 0
    if rules.total_bytes is not None:
        over = sum(layer.size for layer in shelved.rows) - rules.total_bytes
    for layer in shelved.unnamed:
        old = rules.age_ms is not None and now_ms - layer.created_ms >= rules.age_ms
        if over > 0 or old or now_ms - layer.used_ms >= rules.unused_ms:
            over -= layer.size
            yield layer.id


class Clearing:
    """Removes layers of this machine that nobody needs, and their rows."""

    def __init__(self, db: Database, store: ImageStore, driver: Sealing, shelf: Shelf, *, node_id: str) -> None:
        self._db = db
        self._store = store
        self._driver = driver
        self._shelf = shelf
        self._node_id = node_id

    async def look(self) -> Shelved:
        """Return what is there, and what of it images name.

        The rows are read first: a layer whose row is committed meanwhile is on the disk already.
        """
        rows = await self._db.read(lambda tx: self._store.layers(tx, self._node_id))
        there = set(await self._driver.layers())
        return Shelved(
            rows=tuple(row for row in rows if row.id in there),
            unaccounted=frozenset(there - {row.id for row in rows}),
            named=frozenset(await self._named()),
            lost=tuple(row.id for row in rows if row.id not in there),
        )

    def held(self) -> set[LayerId]:
        """Return the layers that builds count on at this moment."""
        return self._shelf.held()

    async def drop(self, ids: Sequence[LayerId]) -> list[LayerId]:
        """Remove those of *ids* that no image names, nobody holds, and no sandbox stands on; return these."""
        dropped: list[LayerId] = []
        for start in range(0, len(ids), _AT_ONCE):
            dropped += await self._drop(ids[start : start + _AT_ONCE])
        if dropped:
            log.info("removed layers that no image names", extra={"layers": dropped})
        return dropped

    async def forget(self, ids: Collection[LayerId]) -> None:
        """Remove the rows of layers that are gone."""
        if ids:
            await self._db.write(lambda tx: self._store.forget_layers(tx, self._node_id, ids))

    async def _named(self) -> set[LayerId]:
        return await self._db.read(lambda tx: self._store.layers_in_use(tx, self._node_id))

    async def _drop(self, some: Collection[LayerId]) -> list[LayerId]:
        dropped: list[LayerId] = []

        async def unnamed() -> Collection[LayerId]:
            named = await self._named()
            return [layer for layer in some if layer not in named]

        async def drop(layers: Collection[LayerId]) -> None:
            for layer in layers:
                try:
                    await self._driver.drop_layer(layer)
                except ConflictError:
                    continue  # a sandbox stands on it: its turn comes later
                dropped.append(layer)
            await self.forget(dropped)

        await self._shelf.clear(unnamed, drop)
        return dropped


class LayerRetention:
    """Removes, from time to time, what should go by the rules."""

    def __init__(self, clearing: Clearing, clock: Clock, rules: LayerRules | None = None) -> None:
        self._clearing = clearing
        self._clock = clock
        self._rules = rules or LayerRules()
        #: Since when each was seen without a row, by the monotonic clock.
        self._unaccounted: dict[LayerId, float] = {}

    async def prune(self) -> int:
        """Remove what is due; return how many layers that were."""
        now_s = self._clock.monotonic()
        shelved = await self._clearing.look()
        await self._clearing.forget(shelved.lost)
        seen = shelved.unaccounted - shelved.named
        self._unaccounted = {layer: self._unaccounted.get(layer, now_s) for layer in seen}
        old = [layer for layer, since_s in sorted(self._unaccounted.items()) if now_s - since_s >= UNUSED_S]
        rules = due(shelved, self._rules, now_ms=to_ms(self._clock.now()))
        return len(await self._clearing.drop([*old, *rules]))
