"""All tables, a file per shelf of nouns. A change here needs a migration: a test compares the two on both databases.

Times are milliseconds since 1970. On PostgreSQL the tables lie in the schema `skep` (each connection's search
path); SQLite has no schema. Texts compare by their bytes on both, so that ids sort by time on both.
"""

from skep.adapters.storage.tables.access import audit_entries, kept_answers, projects, secrets, tokens
from skep.adapters.storage.tables.agents import OWNED, POLLED, agents, versions, webhooks
from skep.adapters.storage.tables.columns import ENDED, SCHEMA, TEXT_TYPE, metadata
from skep.adapters.storage.tables.images import UNENDED, builds, host_keys, images, layers, locks, uploads
from skep.adapters.storage.tables.places import nodes, sandboxes
from skep.adapters.storage.tables.runs import (
    AWAITING,
    OPEN,
    UNFINISHED,
    artifacts,
    attempts,
    questions,
    run_events,
    runs,
)
from skep.adapters.storage.tables.work import DEAD, DONE, LEASED, LIVE, QUEUED, RESTING, work

__all__ = [
    "AWAITING",
    "DEAD",
    "DONE",
    "ENDED",
    "LEASED",
    "LIVE",
    "OPEN",
    "OWNED",
    "POLLED",
    "QUEUED",
    "RESTING",
    "SCHEMA",
    "TEXT_TYPE",
    "UNENDED",
    "UNFINISHED",
    "agents",
    "artifacts",
    "attempts",
    "audit_entries",
    "builds",
    "host_keys",
    "images",
    "kept_answers",
    "layers",
    "locks",
    "metadata",
    "nodes",
    "projects",
    "questions",
    "run_events",
    "runs",
    "sandboxes",
    "secrets",
    "tokens",
    "uploads",
    "versions",
    "webhooks",
    "work",
]
