"""Wake-ups. They carry no data and may be lost at a crash: the database is the truth.

What a transaction changed is announced to all servers on its database; the rest stays inside one process.
"""

import asyncio
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager

from skep.kernel.database import Database, Tx


class Hub:
    """Wakes whoever waits for a topic; callable from any thread once `bind` has run."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop in which the waiters live."""
        self._loop = loop

    def announce(self, db: Database, tx: Tx, topic: str) -> None:
        """Wake all that wait for *topic*, here and in other servers on *db*, soon after *tx* has been committed."""
        db.after_commit(tx, lambda: self.notify(topic))
        db.tell_others(tx, topic)

    def notify(self, topic: str) -> None:
        """Wake all in this process that wait for *topic*."""
        self._hand_over(topic)

    def notify_all(self) -> None:
        """Wake all in this process, whatever they wait for."""
        self._hand_over(None)

    def _hand_over(self, topic: str | None) -> None:
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is loop:
            self._wake(topic)
        else:
            loop.call_soon_threadsafe(self._wake, topic)

    @contextmanager
    def subscribe(self, topic: str) -> Generator[asyncio.Event]:
        """Give an event that is set at each notification; clear it *before* looking at the state."""
        event = asyncio.Event()
        self._waiting[topic].add(event)
        try:
            yield event
        finally:
            waiters = self._waiting[topic]
            waiters.discard(event)
            if not waiters:
                del self._waiting[topic]

    def _wake(self, topic: str | None) -> None:
        for waited_for in self._waiting if topic is None else (topic,):
            for event in self._waiting.get(waited_for, ()):
                event.set()
