"""A lock per name, which is forgotten when nobody holds or awaits it."""

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager


class Locks:
    """Lets one thread at a time act on a thing."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._users: Counter[str] = Counter()

    @contextmanager
    def hold(self, name: str) -> Generator[None]:
        """Wait for *name* and hold it."""
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
            self._users[name] += 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                self._users[name] -= 1
                if not self._users[name]:
                    del self._users[name], self._locks[name]
