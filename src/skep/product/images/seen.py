"""What a build's door saw, as far as anybody is told of it; what a sandbox does without end takes no memory."""

from collections import deque
from collections.abc import Iterator

from skep.product.gateway.model import ConnectionRecord
from skep.product.images import refusals

#: The first ones that were not made, and as many of the last: what is told of them is bounded as well.
_KEPT = 200


class Seen:
    """Connections that were not made: the first and the last ones, the number of all others."""

    def __init__(self) -> None:
        self._first: list[ConnectionRecord] = []
        self._last: deque[ConnectionRecord] = deque(maxlen=_KEPT)
        #: Whether one was cut off by the limit of bytes.
        self.over_limit = False
        #: How many are not among those that are kept.
        self.left_out = 0

    def note(self, record: ConnectionRecord) -> None:
        """Take notice of a connection that is over."""
        self.over_limit |= record.over_limit
        if refusals.line(record) is None:
            return
        if len(self._first) < _KEPT:
            self._first.append(record)
            return
        self.left_out += len(self._last) == _KEPT
        self._last.append(record)

    def clear(self) -> None:
        """Forget them all."""
        self._first.clear()
        self._last.clear()
        self.over_limit, self.left_out = False, 0

    def __iter__(self) -> Iterator[ConnectionRecord]:
        """Yield those that are kept, in their order."""
        yield from self._first
        yield from self._last
