"""Tables of who may do what, and of what is kept secret."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, UniqueConstraint

from skep.adapters.storage.tables.columns import TEXT_TYPE, identity, json, ms, table, text

projects = table("projects", identity(), Column("name", TEXT_TYPE, nullable=False, unique=True), ms("created_ms"))

tokens = table(
    "tokens",
    identity(),
    Column("project_id", TEXT_TYPE, ForeignKey("projects.id"), nullable=True),
    text("name"),
    json("scopes"),
    Column("digest", TEXT_TYPE, nullable=False, unique=True),
    ms("created_ms"),
    ms("expires_ms", nullable=True),
    ms("revoked_ms", nullable=True),
    ms("last_used_ms", nullable=True),
    Index("ix_tokens_project", "project_id", "id"),
)

audit_entries = table(
    "audit_entries",
    identity(),
    ms("at_ms"),
    text("project_id", nullable=True),
    text("principal"),
    text("action"),
    text("resource"),
    text("result"),
    json("details"),
    text("address"),
    Index("ix_audit_entries_project", "project_id", "id"),
)

kept_answers = table(
    "kept_answers",
    Column("token_id", TEXT_TYPE, primary_key=True),
    Column("path", TEXT_TYPE, primary_key=True),
    Column("key", TEXT_TYPE, primary_key=True),
    text("body_digest"),
    Column("status", Integer, nullable=False),
    text("body"),
    ms("created_ms"),
    Index("ix_kept_answers_created", "created_ms"),
)

secrets = table(
    "secrets",
    identity(),
    text("project_id"),
    text("name"),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    text("key_id"),
    ms("created_ms"),
    ms("updated_ms"),
    UniqueConstraint("project_id", "name", name="uq_secrets_name"),
    Index("ix_secrets_project", "project_id", "id"),
)
