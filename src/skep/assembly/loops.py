"""What goes on for as long as the server does; the end of any of these ends the server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from skep.assembly.base import Base
from skep.assembly.nouns import Nouns
from skep.assembly.retention import prunes
from skep.kernel.errors import FencedError, SkepError
from skep.product.blobs.sweep import Sweep
from skep.product.nodes.service import NodeService

log = logging.getLogger(__name__)

#: By name: starts the loop.
Loops = Mapping[str, Callable[[], Coroutine[Any, Any, None]]]

_HEARTBEAT_S = 5.0
_RECONCILE_S = 30.0
_RETENTION_S = 600.0
_SWEEP_S = 3_600.0
_USES_S = 60.0
_POLLS_S = 3.0
_RENEWAL_S = 300.0
_END_S = 2.0


def make_loops(base: Base, nouns: Nouns) -> Loops:
    """Return what a server does besides answering."""
    sweep = Sweep(base.db, base.files, (base.stores.runs, base.stores.images), base.clock)
    return {
        "work": nouns.work.run,
        "wake-ups": partial(base.db.hear_others, base.hub),
        "heartbeat": lambda: _heartbeat(base.nodes),
        "reconcile": lambda: every(_RECONCILE_S, lambda: nouns.sandboxes.reconcile(sweep=True)),
        "polls": partial(every, _POLLS_S, nouns.watching.watch.put_on),
        "renewal": partial(every, _RENEWAL_S, nouns.watching.renewal.renew),
        "uses of tokens": partial(every, _USES_S, nouns.access.keep_uses),
        "sweep": partial(every, _SWEEP_S, sweep.sweep),
        "packages": partial(every, _SWEEP_S, base.packages.prune),
        **{f"retention of {noun}": partial(every, _RETENTION_S, prune) for noun, prune in prunes(base, nouns).items()},
    }


async def make_end(base: Base, nouns: Nouns) -> None:
    """Write what would be lost with the process, as far as there is time for it; nothing depends on it."""
    await base.mirrors.close()
    with suppress(SkepError, TimeoutError):
        async with asyncio.timeout(_END_S):
            await nouns.access.keep_uses()


async def _heartbeat(nodes: NodeService) -> None:
    while True:
        try:
            await nodes.heartbeat()
        except FencedError:
            raise
        except SkepError as error:
            log.warning("the heartbeat was not written", extra={"why": str(error)})
        await asyncio.sleep(_HEARTBEAT_S)


async def every(period_s: float, action: Callable[[], Awaitable[object]]) -> None:
    """Do *action* now and then; what it cannot do this time it can do the next."""
    while True:
        try:
            await action()
        except SkepError as error:
            log.warning("housekeeping will be tried again", extra={"why": str(error)})
        except Exception:
            log.exception("housekeeping failed")
        await asyncio.sleep(period_s)
