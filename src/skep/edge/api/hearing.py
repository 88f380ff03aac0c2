"""Bodies for which nobody has shown a credential yet: a few at once, and none for long."""

import asyncio

from fastapi import Request

from skep.kernel.errors import InvalidError, LimitError


class Hearing:
    """Hears bodies; where all places are taken the one that has taken longest makes room.

    A delivery comes within moments. Whoever holds back as many as there are places loses them to those who do not.
    """

    def __init__(self, places: int, patience_s: float) -> None:
        self._places = places
        self._patience_s = patience_s
        #: In the order of their beginning.
        self._going: dict[asyncio.Timeout, None] = {}
        self._displaced: set[asyncio.Timeout] = set()

    async def body(self, request: Request) -> bytes:
        """Return the body.

        Raises:
            LimitError: `hooks_busy`: it had to make room.
            InvalidError: `hook_slow`.
        """
        limit = asyncio.timeout(self._patience_s)
        try:
            async with limit:
                self._take_place(limit)
                return await request.body()
        except TimeoutError as error:
            if limit in self._displaced:
                raise LimitError(
                    "Too many deliveries come at once.", code="hooks_busy", hint="Deliver it again."
                ) from error
            words = f"The delivery did not arrive within {self._patience_s:.0f} seconds."
            raise InvalidError(words, code="hook_slow") from error
        finally:
            self._going.pop(limit, None)
            self._displaced.discard(limit)

    def _take_place(self, limit: asyncio.Timeout) -> None:
        if len(self._going) >= self._places:
            slowest = next(iter(self._going))
            del self._going[slowest]
            if not slowest.expired():
                self._displaced.add(slowest)
                slowest.reschedule(asyncio.get_running_loop().time())
        self._going[limit] = None
