"""What to do about a sandbox, from what exists and what is intended; and which of its limits it has met."""

from enum import StrEnum

from skep.product.sandboxes.model import Inspection, Phase, Sandbox

#: With less than this left a disk is full: who fills it rarely stops at the last byte.
_LEAST_BYTES = 1 << 20


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


class Shortage(StrEnum):
    """What a sandbox has run out of, beside memory and time."""

    #: Its disk is full, of bytes or of files.
    DISK = "disk"
    #: There were as many processes as it may have.
    PROCESSES = "processes"


def shortage(seen: Inspection) -> Shortage | None:
    """Say what a sandbox whose command failed has run out of; None if it has enough, as far as the host can see.

    The disk comes first: it is full at this moment, while the most processes may have been there long ago. A program
    that meets the end of its disk and clears up before it ends is not seen.
    """
    if seen.disk_left_bytes is not None and seen.disk_left_bytes < _LEAST_BYTES:
        return Shortage.DISK
    if seen.disk_left_files == 0:
        return Shortage.DISK
    return Shortage.PROCESSES if seen.pids_reached else None
