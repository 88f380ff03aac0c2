"""Wake-ups inside one process. They carry no data and may be lost at a crash: the database is the truth."""

import asyncio
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager


class Hub:
    """Wakes whoever waits for a topic; callable from any thread once `bind` has run."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop in which the waiters live."""
        self._loop = loop

    def notify(self, topic: str) -> None:
        """Wake all that wait for *topic*."""
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

    def _wake(self, topic: str) -> None:
        for event in self._waiting.get(topic, ()):
            event.set()
