"""The table of durable work."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, false

from skep.adapters.storage.tables.columns import identity, ms, partial, table, text

#: Conditions of partial indexes: a query must say the same in the same words (no bound value) to use them.
LIVE = "state IN ('queued', 'leased')"
QUEUED = "state = 'queued'"
LEASED = "state = 'leased'"
RESTING = "resting AND state IN ('queued', 'leased')"
DONE = "state = 'done'"
DEAD = "state = 'dead'"

work = table(
    "work",
    identity(),
    text("kind"),
    text("ref"),
    text("project_id"),
    text("node_id"),
    text("k1"),
    text("k2"),
    text("k3"),
    # All that decides whether an item may be claimed, in one value: a claim looks at one item of each lane.
    text("lane"),
    text("state"),
    Column("fence", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    ms("not_before_ms"),
    ms("lease_until_ms"),
    text("owner"),
    Column("cancel_requested", Boolean, nullable=False),
    text("last_error"),
    ms("created_ms"),
    ms("ended_ms", nullable=True),
    Column("resting", Boolean, nullable=False, server_default=false()),
    partial("uq_work_live", "kind", "ref", where=LIVE, unique=True),
    partial("ix_work_queued", "lane", "id", where=QUEUED),
    partial("ix_work_leased", "lease_until_ms", where=LEASED),
    partial("ix_work_resting", "owner", where=RESTING),
    partial("ix_work_done", "ended_ms", where=DONE),
    partial("ix_work_dead", "ended_ms", where=DEAD),
)
