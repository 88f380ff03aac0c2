"""All tables, in one place. A change here needs a migration: a test compares the two on both databases.

Times are milliseconds since 1970. On PostgreSQL the tables lie in the schema `skep` (each connection's search
path); SQLite has no schema. Texts compare by their bytes on both, so that ids sort by time on both.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import TEXT

SCHEMA = "skep"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

#: The conditions of partial indexes. A query must say the same in the same words (no bound value) to use them.
UNFINISHED = "status IN ('queued', 'running', 'waiting')"
AWAITING = "version_id IS NULL AND status = 'queued'"
LIVE = "state IN ('queued', 'leased')"
QUEUED = "state = 'queued'"
LEASED = "state = 'leased'"
RESTING = "resting AND state IN ('queued', 'leased')"
DONE = "state = 'done'"
DEAD = "state = 'dead'"
ENDED = "ended_ms IS NOT NULL"
UNENDED = "ended_ms IS NULL"
OPEN = "answered_ms IS NULL"
POLLED = "poll_due_ms IS NOT NULL AND removed_ms IS NULL"
OWNED = "owner <> '' AND removed_ms IS NULL"

TEXT_TYPE = Text().with_variant(TEXT(collation="C"), "postgresql")


def _id() -> Column[str]:
    return Column("id", TEXT_TYPE, primary_key=True)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, TEXT_TYPE, nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> Column[str]:
    """Make a column of JSON text: nothing is asked of it in SQL, and text keeps every value as it was."""
    return Column(name, TEXT_TYPE, nullable=nullable, info={"json": True})


def _ms(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _child_of(column: str, parent: str, *, primary_key: bool = False) -> Column[str]:
    return Column(column, TEXT_TYPE, ForeignKey(parent), nullable=False, primary_key=primary_key)


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _table(name: str, *parts: Any) -> Table:
    return Table(name, metadata, *parts)


# ---- access
projects = _table("projects", _id(), Column("name", TEXT_TYPE, nullable=False, unique=True), _ms("created_ms"))

tokens = _table(
    "tokens",
    _id(),
    Column("project_id", TEXT_TYPE, ForeignKey("projects.id"), nullable=True),
    _text("name"),
    _json("scopes"),
    Column("digest", TEXT_TYPE, nullable=False, unique=True),
    _ms("created_ms"),
    _ms("expires_ms", nullable=True),
    _ms("revoked_ms", nullable=True),
    _ms("last_used_ms", nullable=True),
    Index("ix_tokens_project", "project_id", "id"),
)

audit_entries = _table(
    "audit_entries",
    _id(),
    _ms("at_ms"),
    _text("project_id", nullable=True),
    _text("principal"),
    _text("action"),
    _text("resource"),
    _text("result"),
    _json("details"),
    _text("address"),
    Index("ix_audit_entries_project", "project_id", "id"),
)

kept_answers = _table(
    "kept_answers",
    Column("token_id", TEXT_TYPE, primary_key=True),
    Column("path", TEXT_TYPE, primary_key=True),
    Column("key", TEXT_TYPE, primary_key=True),
    _text("body_digest"),
    Column("status", Integer, nullable=False),
    _text("body"),
    _ms("created_ms"),
    Index("ix_kept_answers_created", "created_ms"),
)

# ---- secrets
secrets = _table(
    "secrets",
    _id(),
    _text("project_id"),
    _text("name"),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    _text("key_id"),
    _ms("created_ms"),
    _ms("updated_ms"),
    UniqueConstraint("project_id", "name", name="uq_secrets_name"),
    Index("ix_secrets_project", "project_id", "id"),
)

# ---- nodes
nodes = _table(
    "nodes",
    _id(),
    _text("name"),
    _text("boot_id"),
    _text("incarnation"),
    _ms("heartbeat_ms"),
    _ms("started_ms"),
)

# ---- sandboxes
sandboxes = _table(
    "sandboxes",
    _id(),
    _text("project_id"),
    _text("node_id"),
    _text("owner"),
    _text("phase"),
    _json("handle", nullable=True),
    _ms("created_ms"),
    Index("ix_sandboxes_node", "node_id", "id"),
)

# ---- images
uploads = _table(
    "uploads",
    _id(),
    _text("project_id"),
    _text("blob_id"),
    Column("size", BigInteger, nullable=False),
    _text("sha256"),
    _ms("created_ms"),
    Index("ix_uploads_project", "project_id", "id"),
    Index("ix_uploads_created", "created_ms"),
    Index("ix_uploads_blob", "blob_id"),
)

builds = _table(
    "builds",
    _id(),
    _text("project_id"),
    _text("agent_id"),
    _json("source"),
    _json("command"),
    _text("status"),
    _text("log_id"),
    _text("node_id", nullable=True),
    _text("sandbox_id", nullable=True),
    Column("attempt", Integer, nullable=False),
    _text("step"),
    _text("image_id", nullable=True),
    _text("commit"),
    _json("recognised", nullable=True),
    _json("explanation", nullable=True),
    Column("explain", Boolean, nullable=False, server_default=false()),
    Column("upgrade", Boolean, nullable=False, server_default=false()),
    _json("failure", nullable=True),
    Column("cancel_requested", Boolean, nullable=False),
    _ms("created_ms"),
    _ms("started_ms", nullable=True),
    _ms("ended_ms", nullable=True),
    Index("ix_builds_project", "project_id", "id"),
    Index("ix_builds_agent", "agent_id", "id"),
    Index("ix_builds_log", "log_id"),
    _partial("ix_builds_ended", "ended_ms", where=ENDED),
    _partial("ix_builds_unended", "project_id", where=UNENDED),
)

images = _table(
    "images",
    _id(),
    _text("project_id"),
    _text("node_id"),
    _json("layers"),
    _text("base_fingerprint"),
    _json("recognised"),
    _text("source_digest"),
    _text("commit"),
    Column("size", BigInteger, nullable=False),
    _ms("created_ms"),
    Index("ix_images_node", "node_id"),
)

layers = _table(
    "layers",
    Column("node_id", TEXT_TYPE, primary_key=True),
    Column("id", TEXT_TYPE, primary_key=True),
    _text("kind"),
    _text("project_id"),
    _text("about"),
    Column("size", BigInteger, nullable=False),
    _ms("created_ms"),
    _ms("used_ms"),
)

#: Which files exactly a source depends on, as it was found out; a project's own.
locks = _table(
    "locks",
    Column("project_id", TEXT_TYPE, primary_key=True),
    Column("key", TEXT_TYPE, primary_key=True),
    _text("text"),
    _ms("created_ms"),
    _ms("used_ms"),
    Index("ix_locks_used", "used_ms"),
)

#: Keys of ssh servers, as they were seen first.
host_keys = _table(
    "host_keys",
    Column("project_id", TEXT_TYPE, primary_key=True),
    Column("host", TEXT_TYPE, primary_key=True),
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("key", TEXT_TYPE, primary_key=True),
    _ms("created_ms"),
)

# ---- agents
agents = _table(
    "agents",
    _id(),
    _text("project_id"),
    _text("name"),
    _text("title"),
    Column("owner", TEXT_TYPE, nullable=False, server_default=""),
    _text("kind"),
    _json("source"),
    _json("config"),
    _text("version_id", nullable=True),
    _text("build_id", nullable=True),
    Column("poll_s", Double, nullable=True),
    _ms("poll_due_ms", nullable=True),
    _json("looked", nullable=True),
    _ms("asked_ms", nullable=True),
    _ms("created_ms"),
    _ms("updated_ms"),
    _ms("removed_ms", nullable=True),
    _partial("uq_agents_living_name", "project_id", "name", where="removed_ms IS NULL", unique=True),
    _partial("ix_agents_living", "project_id", "id", where="removed_ms IS NULL"),
    _partial("ix_agents_polled", "poll_due_ms", where=POLLED),
    _partial("uq_agents_owned_title", "project_id", "owner", "title", where=OWNED, unique=True),
    Index("ix_agents_owner", "project_id", "owner", "id"),
)

webhooks = _table(
    "webhooks",
    _child_of("agent_id", "agents.id", primary_key=True),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    _text("key_id"),
    _json("seen"),
    _ms("created_ms"),
)

versions = _table(
    "versions",
    _id(),
    _child_of("agent_id", "agents.id"),
    _text("project_id"),
    Column("number", Integer, nullable=False),
    _text("image_id"),
    _json("config"),
    _ms("created_ms"),
    UniqueConstraint("agent_id", "number", name="uq_versions_number"),
    Index("ix_versions_agent", "agent_id", "id"),
    Index("ix_versions_image", "image_id"),
)

# ---- runs
runs = _table(
    "runs",
    _id(),
    _text("project_id"),
    _text("agent_id"),
    _text("agent_name"),
    _text("kind"),
    _text("version_id", nullable=True),
    _text("status"),
    _json("inputs"),
    Column("timeout_s", Double, nullable=True),
    Column("cancel_requested", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    _json("result", nullable=True),
    Column("exit_code", Integer, nullable=True),
    _json("failure", nullable=True),
    _json("usage"),
    _ms("created_ms"),
    _ms("started_ms", nullable=True),
    _ms("ended_ms", nullable=True),
    Index("ix_runs_project", "project_id", "id"),
    Index("ix_runs_agent", "agent_id", "id"),
    Index("ix_runs_version", "version_id"),
    _partial("ix_runs_ended", "ended_ms", where=ENDED),
    _partial("ix_runs_unfinished", "project_id", "id", where=UNFINISHED),
    _partial("ix_runs_awaiting", "agent_id", "id", where=AWAITING),
)

attempts = _table(
    "attempts",
    _id(),
    _child_of("run_id", "runs.id"),
    Column("number", Integer, nullable=False),
    _text("phase"),
    _text("sandbox_id"),
    _text("log_id"),
    _text("node_id"),
    _json("exit", nullable=True),
    _ms("created_ms"),
    _ms("started_ms", nullable=True),
    Column("waited_ms", BigInteger, nullable=False, server_default="0"),
    _ms("waiting_since_ms", nullable=True),
    _ms("ended_ms", nullable=True),
    UniqueConstraint("run_id", "number", name="uq_attempts_number"),
    Index("ix_attempts_log", "log_id"),
)

run_events = _table(
    "run_events",
    _child_of("run_id", "runs.id", primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _ms("at_ms"),
    _text("type"),
    _json("data"),
)

questions = _table(
    "questions",
    _id(),
    _child_of("run_id", "runs.id"),
    _text("project_id"),
    _text("key"),
    _text("text"),
    _json("choices"),
    _json("answer_schema", nullable=True),
    _ms("asked_ms"),
    _ms("expires_ms"),
    _json("answer", nullable=True),
    _ms("answered_ms", nullable=True),
    _text("answered_by"),
    UniqueConstraint("run_id", "key", name="uq_questions_key"),
    _partial("ix_questions_open", "project_id", "id", where=OPEN),
)

artifacts = _table(
    "artifacts",
    _child_of("run_id", "runs.id", primary_key=True),
    Column("path", TEXT_TYPE, primary_key=True),
    _text("blob_id"),
    Column("size", BigInteger, nullable=False),
    _text("sha256"),
    Index("ix_artifacts_blob", "blob_id"),
)

# ---- work
work = _table(
    "work",
    _id(),
    _text("kind"),
    _text("ref"),
    _text("project_id"),
    _text("node_id"),
    _text("k1"),
    _text("k2"),
    _text("k3"),
    # All that decides whether an item may be claimed, in one value: a claim looks at one item of each lane.
    _text("lane"),
    _text("state"),
    Column("fence", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    _ms("not_before_ms"),
    _ms("lease_until_ms"),
    _text("owner"),
    Column("cancel_requested", Boolean, nullable=False),
    _text("last_error"),
    _ms("created_ms"),
    _ms("ended_ms", nullable=True),
    Column("resting", Boolean, nullable=False, server_default=false()),
    _partial("uq_work_live", "kind", "ref", where=LIVE, unique=True),
    _partial("ix_work_queued", "lane", "id", where=QUEUED),
    _partial("ix_work_leased", "lease_until_ms", where=LEASED),
    _partial("ix_work_resting", "owner", where=RESTING),
    _partial("ix_work_done", "ended_ms", where=DONE),
    _partial("ix_work_dead", "ended_ms", where=DEAD),
)
