"""What becomes of a piece of work: pure decisions."""

from collections.abc import Mapping

from skep.product.work.model import Lease, WorkItem, WorkState

_FIRST_S = 1.0
_LONGEST_S = 300.0

#: Where a piece of work may go from where it stands. LEASED to LEASED: another holder, a higher fence.
TRANSITIONS: Mapping[WorkState, frozenset[WorkState]] = {
    WorkState.QUEUED: frozenset({WorkState.LEASED, WorkState.DONE}),
    WorkState.LEASED: frozenset({WorkState.LEASED, WorkState.QUEUED, WorkState.DONE, WorkState.DEAD}),
    WorkState.DONE: frozenset(),
    WorkState.DEAD: frozenset(),
}


def backoff_s(errors: int, jitter: float) -> float:
    """Return how long to wait after *errors* tries that ended in an error.

    Doubles from 1 s to 5 minutes; *jitter* (0 to 1) takes away up to half of it, so that what failed together
    does not come back together.
    """
    # The exponent is bounded before the power is taken: errors may be many.
    whole = min(_LONGEST_S, _FIRST_S * 2.0 ** min(max(errors, 1) - 1, 16))
    return whole * (1.0 - jitter / 2.0)


def is_lost(item: WorkItem | None, lease: Lease) -> bool:
    """Tell whether a lease that could not be renewed was taken away, not ended by its own holder."""
    if item is None or item.fence != lease.fence:
        return True
    return item.state not in (WorkState.DONE, WorkState.DEAD)


def is_left_open(item: WorkItem | None, lease: Lease) -> bool:
    """Tell whether the holder went away without a last word."""
    return item is not None and item.fence == lease.fence and item.state is WorkState.LEASED
