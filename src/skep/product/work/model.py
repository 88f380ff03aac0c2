"""What a piece of durable work is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

WorkId = NewType("WorkId", str)


class WorkState(StrEnum):
    """Where a piece of work stands."""

    #: It waits, perhaps until `not_before_ms`.
    QUEUED = "queued"
    #: Somebody holds it until `lease_until_ms`.
    LEASED = "leased"
    #: It is over; the row is kept for a while, for the curious.
    DONE = "done"
    #: It was given up on.
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWork:
    """A piece of work to be enqueued."""

    id: WorkId
    #: Names the handler: "build", "run".
    kind: str
    #: What it is about: a build's or a run's id. One piece of live work per (kind, ref).
    ref: str
    project_id: str
    #: Only this machine may claim it; None means any.
    node_id: str | None = None
    #: Up to three keys whose concurrency is limited (agent, project, server).
    keys: tuple[str, ...] = ()
    not_before_ms: int = 0
    max_attempts: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A piece of work as its holder sees it."""

    id: WorkId
    kind: str
    ref: str
    project_id: str
    state: WorkState
    #: Grows with every claim; every write of the holder is checked against it.
    fence: int
    #: Claims so far, this one included.
    attempts: int
    max_attempts: int
    #: How often it was put back because of an error; a holder's death is none.
    errors: int
    lease_until_ms: int
    owner: str
    cancel_requested: bool
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on an item, and to write about it, while `fence` is the newest."""

    work_id: WorkId
    fence: int
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLimits:
    """How much one server does at once, and how many leases may share a key."""

    #: Items that this server holds at once, without those that rest.
    total: int = 64
    #: Items beside them that may rest; what would rest beyond that keeps its place.
    resting: int = 0
    #: Limits of single keys ("agent:agt_...").
    keys: Mapping[str, int] = field(default_factory=dict[str, int])
    #: Limits of all other keys, by what stands before their ':' ("agent", "project").
    key_defaults: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkTiming:
    """The rhythm of a server's work, in seconds."""

    #: Whoever says nothing for this long has lost his work.
    lease_s: float = 15.0
    #: So often all leases are renewed.
    beat_s: float = 5.0
    #: So often it looks for work that nobody called out.
    poll_s: float = 1.0
