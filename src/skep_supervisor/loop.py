"""One thread that waits for descriptors and moments, and calls back; a callback's failure is never its end."""

import select
import sys
import time
from _collections_abc import Callable  # `collections.abc` would import `collections`, which takes longer

READ = select.POLLIN
WRITE = select.POLLOUT
#: Wakes only when the other side has hung up.
HANG_UP = 0


class Timer:
    """A moment at which something is called, unless it is cancelled before."""

    __slots__ = ("at", "call")

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Let nothing happen at that moment."""
        self.call = None


class Loop:
    """Calls back when a descriptor is ready or a moment has come; all times are of the monotonic clock."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        #: Descriptors closed since the last poll: what that poll says of such a number is of another file.
        self._stale: set[int] = set()

    def watch(self, fd: int, events: int, call: Callable[[int], None]) -> None:
        """Call *call* with the ready events whenever *fd* has some of *events*; replaces an earlier watch."""
        self._poll.register(fd, events)
        self._watched[fd] = call

    def unwatch(self, fd: int) -> None:
        """Forget *fd*; must come before it is closed."""
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)
            self._stale.add(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call *call* once, *seconds* from now."""
        timer = Timer(time.monotonic() + seconds, call)
        self._timers.append(timer)
        return timer

    def step(self) -> None:
        """Wait for the next event or moment, and call back for all that are due."""
        self._stale.clear()
        for fd, events in self._poll.poll(self._patience_ms()):
            call = self._watched.get(fd)
            if call is not None and fd not in self._stale:
                self._guard(call, events)
        now = time.monotonic()
        due = [timer for timer in self._timers if timer.at <= now or timer.call is None]
        if due:
            self._timers = [timer for timer in self._timers if timer.at > now and timer.call is not None]
            for timer in sorted(due, key=lambda timer: timer.at):
                if timer.call is not None:
                    self._guard(timer.call)

    def _patience_ms(self) -> int | None:
        if not self._timers:
            return None
        first = min(timer.at for timer in self._timers)
        # Rounded up: a millisecond too early would spin until the moment has come.
        return max(0, int((first - time.monotonic()) * 1000) + 1)

    @staticmethod
    def _guard(call: Callable[..., None], *arguments: int) -> None:
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001  process 1 must go on whatever happens
            sys.excepthook(type(error), error, error.__traceback__)
