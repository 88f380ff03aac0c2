"""How fast a door's requests are taken: each costs everybody's server something."""

import asyncio
import math


class Pace:
    """Makes those wait who ask without end: *burst* requests as fast as they come, then one after each pause."""

    def __init__(self, burst: int, pause_s: float) -> None:
        self._ahead_s = burst * pause_s
        self._pause_s = pause_s
        self._next_at = -math.inf

    def delay_s(self, now: float) -> float:
        """Take the next turn; return how long it is until then."""
        at = max(self._next_at, now - self._ahead_s)
        self._next_at = at + self._pause_s
        return max(0.0, at - now)

    async def wait(self) -> None:
        """Wait for the next turn; others are served meanwhile even if it is there already."""
        await asyncio.sleep(self.delay_s(asyncio.get_running_loop().time()))
