"""A clock that stands still until a test moves it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from skep.kernel.clock import to_ms


class ManualClock:
    """Implements `kernel.clock.Clock`; both of its times move together, and only by `advance`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> datetime:
        """Return the time at which the clock stands."""
        return self._now

    def now_ms(self) -> int:
        """Return it in milliseconds since 1970."""
        return to_ms(self._now)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        for listener in list(self._listeners):
            listener()

    def on_advance(self, listener: Callable[[], None]) -> None:
        """Call *listener* after each advance."""
        self._listeners.append(listener)
