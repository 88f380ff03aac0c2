"""Tables of agents and their versions."""

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, UniqueConstraint

from skep.adapters.storage.tables.columns import TEXT_TYPE, child_of, identity, json, ms, partial, table, text

#: Conditions of partial indexes: a query must say the same in the same words (no bound value) to use them.
POLLED = "poll_due_ms IS NOT NULL AND removed_ms IS NULL"
OWNED = "owner <> '' AND removed_ms IS NULL"

agents = table(
    "agents",
    identity(),
    text("project_id"),
    text("name"),
    text("title"),
    Column("owner", TEXT_TYPE, nullable=False, server_default=""),
    text("kind"),
    json("source"),
    json("config"),
    text("version_id", nullable=True),
    text("build_id", nullable=True),
    Column("poll_s", Double, nullable=True),
    ms("poll_due_ms", nullable=True),
    json("looked", nullable=True),
    ms("asked_ms", nullable=True),
    ms("created_ms"),
    ms("updated_ms"),
    ms("removed_ms", nullable=True),
    partial("uq_agents_living_name", "project_id", "name", where="removed_ms IS NULL", unique=True),
    partial("ix_agents_living", "project_id", "id", where="removed_ms IS NULL"),
    partial("ix_agents_polled", "poll_due_ms", where=POLLED),
    partial("uq_agents_owned_title", "project_id", "owner", "title", where=OWNED, unique=True),
    Index("ix_agents_owner", "project_id", "owner", "id"),
)

webhooks = table(
    "webhooks",
    child_of("agent_id", "agents.id", primary_key=True),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    text("key_id"),
    json("seen"),
    ms("created_ms"),
)

versions = table(
    "versions",
    identity(),
    child_of("agent_id", "agents.id"),
    text("project_id"),
    Column("number", Integer, nullable=False),
    text("image_id"),
    json("config"),
    ms("created_ms"),
    UniqueConstraint("agent_id", "number", name="uq_versions_number"),
    Index("ix_versions_agent", "agent_id", "id"),
    Index("ix_versions_image", "image_id"),
)
