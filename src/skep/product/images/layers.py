"""Which sealed layers of this machine may go, and when nobody can be about to use them.

A build looks which layers are there, and only later commits the image that names them. So a layer that no image
names may still be counted on: builds hold what they count on from before they look until after that commit.
Holds need not outlive the server: an attempt that died is made anew, and looks again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Generator
from contextlib import contextmanager

from skep.kernel.clock import Clock
from skep.kernel.database import Database
from skep.product.images.ports import ImageStore
from skep.product.sandboxes.model import LayerId
from skep.product.sandboxes.ports import Sealing

log = logging.getLogger(__name__)

#: A layer that no image names is kept so long: a build that failed may have left it, and the next one uses it again.
UNUSED_S = 3_600.0
#: So many are removed before a build that waits for its turn gets it.
_AT_ONCE = 8

Hold = Callable[[Collection[LayerId]], Awaitable[None]]


class Shelf:
    """The layers that builds of this process count on."""

    def __init__(self) -> None:
        self._held: Counter[LayerId] = Counter()
        self._turn = asyncio.Lock()

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
            held = +self._held
            await drop([layer for layer in await unnamed() if layer not in held])


class LayerRetention:
    """Removes the layers of this machine that neither an image names nor a build counts on."""

    def __init__(
        self, db: Database, store: ImageStore, driver: Sealing, shelf: Shelf, clock: Clock, *, node_id: str
    ) -> None:
        self._db = db
        self._store = store
        self._driver = driver
        self._shelf = shelf
        self._clock = clock
        self._node_id = node_id
        #: Since when each was seen without an image, by the monotonic clock.
        self._unused: dict[LayerId, float] = {}

    async def prune(self) -> int:
        """Remove what was unused for `UNUSED_S`; return how many layers that were."""
        now_s = self._clock.monotonic()
        self._unused = {layer: self._unused.get(layer, now_s) for layer in await self._unnamed()}
        due = sorted(layer for layer, since_s in self._unused.items() if now_s - since_s >= UNUSED_S)
        dropped = 0
        for start in range(0, len(due), _AT_ONCE):
            dropped += await self._drop(due[start : start + _AT_ONCE])
        return dropped

    async def _drop(self, due: Collection[LayerId]) -> int:
        dropped: list[LayerId] = []

        async def unnamed() -> Collection[LayerId]:
            return set(due) & await self._unnamed()

        async def drop(layers: Collection[LayerId]) -> None:
            for layer in layers:
                await self._driver.drop_layer(layer)
                self._unused.pop(layer, None)
                dropped.append(layer)

        await self._shelf.clear(unnamed, drop)
        if dropped:
            log.info("removed layers that no image names", extra={"layers": dropped})
        return len(dropped)

    async def _unnamed(self) -> set[LayerId]:
        there = set(await self._driver.layers())
        return there - await self._db.read(lambda tx: self._store.layers_in_use(tx, self._node_id))
