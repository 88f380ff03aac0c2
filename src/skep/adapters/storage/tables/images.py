"""Tables of sources, builds, and what they make."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, false

from skep.adapters.storage.tables.columns import ENDED, TEXT_TYPE, identity, json, ms, partial, table, text

#: Conditions of partial indexes: a query must say the same in the same words (no bound value) to use them.
UNENDED = "ended_ms IS NULL"

uploads = table(
    "uploads",
    identity(),
    text("project_id"),
    text("blob_id"),
    Column("size", BigInteger, nullable=False),
    text("sha256"),
    ms("created_ms"),
    Index("ix_uploads_project", "project_id", "id"),
    Index("ix_uploads_created", "created_ms"),
    Index("ix_uploads_blob", "blob_id"),
)

builds = table(
    "builds",
    identity(),
    text("project_id"),
    text("agent_id"),
    json("source"),
    json("command"),
    text("status"),
    text("log_id"),
    text("node_id", nullable=True),
    text("sandbox_id", nullable=True),
    Column("attempt", Integer, nullable=False),
    text("step"),
    text("image_id", nullable=True),
    text("commit"),
    json("recognised", nullable=True),
    json("explanation", nullable=True),
    Column("explain", Boolean, nullable=False, server_default=false()),
    Column("upgrade", Boolean, nullable=False, server_default=false()),
    json("failure", nullable=True),
    Column("cancel_requested", Boolean, nullable=False),
    ms("created_ms"),
    ms("started_ms", nullable=True),
    ms("ended_ms", nullable=True),
    Index("ix_builds_project", "project_id", "id"),
    Index("ix_builds_agent", "agent_id", "id"),
    Index("ix_builds_log", "log_id"),
    partial("ix_builds_ended", "ended_ms", where=ENDED),
    partial("ix_builds_unended", "project_id", where=UNENDED),
)

images = table(
    "images",
    identity(),
    text("project_id"),
    text("node_id"),
    json("layers"),
    text("base_fingerprint"),
    json("recognised"),
    text("source_digest"),
    text("commit"),
    Column("size", BigInteger, nullable=False),
    ms("created_ms"),
    Index("ix_images_node", "node_id"),
)

layers = table(
    "layers",
    Column("node_id", TEXT_TYPE, primary_key=True),
    Column("id", TEXT_TYPE, primary_key=True),
    text("kind"),
    text("project_id"),
    text("about"),
    Column("size", BigInteger, nullable=False),
    ms("created_ms"),
    ms("used_ms"),
)

#: Which files exactly a source depends on, as it was found out; a project's own.
locks = table(
    "locks",
    Column("project_id", TEXT_TYPE, primary_key=True),
    Column("key", TEXT_TYPE, primary_key=True),
    text("text"),
    ms("created_ms"),
    ms("used_ms"),
    Index("ix_locks_used", "used_ms"),
)

#: Keys of ssh servers, as they were seen first.
host_keys = table(
    "host_keys",
    Column("project_id", TEXT_TYPE, primary_key=True),
    Column("host", TEXT_TYPE, primary_key=True),
    Column("port", Integer, primary_key=True, autoincrement=False),
    Column("key", TEXT_TYPE, primary_key=True),
    ms("created_ms"),
)
