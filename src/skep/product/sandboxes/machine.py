"""What to do about a sandbox, from what exists and what is intended."""

from enum import StrEnum

from skep.product.sandboxes.model import Phase, Sandbox


class Verdict(StrEnum):
    """What reconciliation does with one sandbox."""

    #: Somebody owns it, or is about to make it.
    KEEP = "keep"
    #: It exists, or may, and nobody wants it.
    DESTROY = "destroy"
    #: It was to go and is gone: only its row is left.
    FORGET = "forget"


def judge(*, exists: bool, row: Sandbox | None) -> Verdict:
    """Decide what becomes of a sandbox; total over (exists, phase)."""
    if row is None:
        return Verdict.DESTROY if exists else Verdict.FORGET
    if row.phase is Phase.DESTROYING:
        return Verdict.DESTROY if exists else Verdict.FORGET
    return Verdict.KEEP
