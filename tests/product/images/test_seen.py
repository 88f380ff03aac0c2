"""What is kept of a door's connections."""

from skep.product.gateway.model import ConnectionRecord, Refusal
from skep.product.images.seen import Seen


def refused(number: int) -> ConnectionRecord:
    """A connection that was not made."""
    return ConnectionRecord(
        host=f"h{number}.example", port=443, allowed=False, reason="unlisted", refusal=Refusal.UNLISTED
    )


def test_what_a_sandbox_does_without_end_takes_no_memory() -> None:
    """The first and the last that were not made are kept, all others are counted; what went well is not kept at all."""
    seen = Seen()
    for number in range(10_000):
        seen.note(refused(number))
        seen.note(ConnectionRecord(host="fine.example", port=443, allowed=True))
    kept = list(seen)
    assert (kept[0], kept[-1]) == (refused(0), refused(9_999))
    assert len(kept) < 1000
    assert len(kept) + seen.left_out == 10_000


def test_a_passed_limit_is_known_however_much_follows() -> None:
    """Until all is forgotten."""
    seen = Seen()
    seen.note(ConnectionRecord(host="a.example", port=443, allowed=True, over_limit=True))
    for number in range(1000):
        seen.note(refused(number))
    assert seen.over_limit
    seen.clear()
    assert (seen.over_limit, seen.left_out, list(seen)) == (False, 0, [])
