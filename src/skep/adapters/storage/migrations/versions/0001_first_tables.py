"""The first tables.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, TEXT, nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    _create_agents()
    _create_audit_entries()
    _create_builds()
    _create_images()
    _create_kept_answers()
    _create_nodes()
    _create_projects()
    _create_runs()
    _create_sandboxes()
    _create_secrets()
    _create_uploads()
    _create_work()
    _create_artifacts()
    _create_attempts()
    _create_run_events()
    _create_tokens()
    _create_versions()


def _create_agents() -> None:
    op.create_table(
        "agents",
        _text("id"),
        _text("project_id"),
        _text("name"),
        _text("title"),
        _text("kind"),
        _text("source"),
        _text("config"),
        _text("version_id", nullable=True),
        _text("build_id", nullable=True),
        _big("created_ms"),
        _big("updated_ms"),
        _big("removed_ms", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
    )
    op.create_index("ix_agents_living", "agents", ["project_id", "id"], **_where("removed_ms IS NULL"))
    op.create_index(
        "uq_agents_living_name", "agents", ["project_id", "name"], unique=True, **_where("removed_ms IS NULL")
    )


def _create_audit_entries() -> None:
    op.create_table(
        "audit_entries",
        _text("id"),
        _big("at_ms"),
        _text("project_id", nullable=True),
        _text("principal"),
        _text("action"),
        _text("resource"),
        _text("result"),
        _text("details"),
        _text("address"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_project", "audit_entries", ["project_id", "id"])


def _create_builds() -> None:
    op.create_table(
        "builds",
        _text("id"),
        _text("project_id"),
        _text("agent_id"),
        _text("source"),
        _text("command"),
        _text("status"),
        _text("log_id"),
        _text("node_id", nullable=True),
        _text("sandbox_id", nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _text("step"),
        _text("image_id", nullable=True),
        _text("commit"),
        _text("recognised", nullable=True),
        _text("failure", nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        _big("created_ms"),
        _big("started_ms", nullable=True),
        _big("ended_ms", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_builds")),
    )
    op.create_index("ix_builds_agent", "builds", ["agent_id", "id"])
    op.create_index("ix_builds_project", "builds", ["project_id", "id"])


def _create_images() -> None:
    op.create_table(
        "images",
        _text("id"),
        _text("project_id"),
        _text("node_id"),
        _text("layers"),
        _text("base_fingerprint"),
        _text("recognised"),
        _text("source_digest"),
        _text("commit"),
        _big("size"),
        _big("created_ms"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
    )
    op.create_index("ix_images_node", "images", ["node_id"])


def _create_kept_answers() -> None:
    op.create_table(
        "kept_answers",
        _text("token_id"),
        _text("path"),
        _text("key"),
        _text("body_digest"),
        sa.Column("status", sa.Integer(), nullable=False),
        _text("body"),
        _big("created_ms"),
        sa.PrimaryKeyConstraint("token_id", "path", "key", name=op.f("pk_kept_answers")),
    )
    op.create_index("ix_kept_answers_created", "kept_answers", ["created_ms"])


def _create_nodes() -> None:
    op.create_table(
        "nodes",
        _text("id"),
        _text("name"),
        _text("boot_id"),
        _text("incarnation"),
        _big("heartbeat_ms"),
        _big("started_ms"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
    )


def _create_projects() -> None:
    op.create_table(
        "projects",
        _text("id"),
        _text("name"),
        _big("created_ms"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        _text("id"),
        _text("project_id"),
        _text("agent_id"),
        _text("agent_name"),
        _text("kind"),
        _text("version_id", nullable=True),
        _text("status"),
        _text("inputs"),
        sa.Column("timeout_s", sa.Double[float](), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _text("result", nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        _text("failure", nullable=True),
        _text("usage"),
        _big("created_ms"),
        _big("started_ms", nullable=True),
        _big("ended_ms", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_agent", "runs", ["agent_id", "id"])
    op.create_index(
        "ix_runs_awaiting", "runs", ["agent_id", "id"], **_where("version_id IS NULL AND status = 'queued'")
    )
    op.create_index("ix_runs_project", "runs", ["project_id", "id"])
    op.create_index(
        "ix_runs_unfinished", "runs", ["project_id", "id"], **_where("status IN ('queued', 'running', 'waiting')")
    )


def _create_sandboxes() -> None:
    op.create_table(
        "sandboxes",
        _text("id"),
        _text("project_id"),
        _text("node_id"),
        _text("owner"),
        _text("phase"),
        _text("handle", nullable=True),
        _big("created_ms"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandboxes")),
    )
    op.create_index("ix_sandboxes_node", "sandboxes", ["node_id", "id"])


def _create_secrets() -> None:
    op.create_table(
        "secrets",
        _text("id"),
        _text("project_id"),
        _text("name"),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        _text("key_id"),
        _big("created_ms"),
        _big("updated_ms"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_secrets")),
        sa.UniqueConstraint("project_id", "name", name="uq_secrets_name"),
    )
    op.create_index("ix_secrets_project", "secrets", ["project_id", "id"])


def _create_uploads() -> None:
    op.create_table(
        "uploads",
        _text("id"),
        _text("project_id"),
        _text("blob_id"),
        _big("size"),
        _text("sha256"),
        _big("created_ms"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index("ix_uploads_project", "uploads", ["project_id", "id"])


def _create_work() -> None:
    op.create_table(
        "work",
        _text("id"),
        _text("kind"),
        _text("ref"),
        _text("project_id"),
        _text("node_id"),
        _text("k1"),
        _text("k2"),
        _text("k3"),
        _text("lane"),
        _text("state"),
        _big("fence"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        _big("not_before_ms"),
        _big("lease_until_ms"),
        _text("owner"),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        _text("last_error"),
        _big("created_ms"),
        _big("ended_ms", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work")),
    )
    op.create_index("ix_work_done", "work", ["ended_ms"], **_where("state = 'done'"))
    op.create_index("ix_work_leased", "work", ["lease_until_ms"], **_where("state = 'leased'"))
    op.create_index("ix_work_queued", "work", ["lane", "id"], **_where("state = 'queued'"))
    op.create_index("uq_work_live", "work", ["kind", "ref"], unique=True, **_where("state IN ('queued', 'leased')"))


def _create_artifacts() -> None:
    op.create_table(
        "artifacts",
        _text("run_id"),
        _text("path"),
        _text("blob_id"),
        _big("size"),
        _text("sha256"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_artifacts_run_id")),
        sa.PrimaryKeyConstraint("run_id", "path", name=op.f("pk_artifacts")),
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        _text("id"),
        _text("run_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("phase"),
        _text("sandbox_id"),
        _text("log_id"),
        _text("node_id"),
        _text("exit", nullable=True),
        _big("created_ms"),
        _big("started_ms", nullable=True),
        _big("ended_ms", nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_attempts_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("run_id", "number", name="uq_attempts_number"),
    )


def _create_run_events() -> None:
    op.create_table(
        "run_events",
        _text("run_id"),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        _big("at_ms"),
        _text("type"),
        _text("data"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_events_run_id")),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_run_events")),
    )


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        _text("id"),
        _text("project_id", nullable=True),
        _text("name"),
        _text("scopes"),
        _text("digest"),
        _big("created_ms"),
        _big("expires_ms", nullable=True),
        _big("revoked_ms", nullable=True),
        _big("last_used_ms", nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_tokens_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_index("ix_tokens_project", "tokens", ["project_id", "id"])


def _create_versions() -> None:
    op.create_table(
        "versions",
        _text("id"),
        _text("agent_id"),
        _text("project_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("image_id"),
        _text("config"),
        _big("created_ms"),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_versions_agent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint("agent_id", "number", name="uq_versions_number"),
    )
    op.create_index("ix_versions_agent", "versions", ["agent_id", "id"])
