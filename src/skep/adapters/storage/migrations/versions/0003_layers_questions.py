"""Layers that are kept account of, locks, host keys, webhooks, polling, questions to people, work that rests.

Revision ID: 0003
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, TEXT, nullable=nullable, server_default=default)


def _big(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable, server_default=default)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}")


def _parent(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [parent], name=f"fk_{table}_{column}")


def upgrade() -> None:
    _add_columns()
    op.create_table(
        "layers",
        _text("node_id"),
        _text("id"),
        _text("kind"),
        _text("project_id"),
        _text("about"),
        _big("size"),
        _big("created_ms"),
        _big("used_ms"),
        _key("layers", "node_id", "id"),
    )
    op.create_table(
        "locks",
        _text("project_id"),
        _text("key"),
        _text("text"),
        _big("created_ms"),
        _big("used_ms"),
        _key("locks", "project_id", "key"),
    )
    op.create_index("ix_locks_used", "locks", ["used_ms"])
    op.create_table(
        "host_keys",
        _text("project_id"),
        _text("host"),
        sa.Column("port", sa.Integer(), nullable=False),
        _text("key"),
        _big("created_ms"),
        _key("host_keys", "project_id", "host", "port", "key"),
    )
    op.create_table(
        "webhooks",
        _text("agent_id"),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        _text("key_id"),
        _text("seen"),
        _big("created_ms"),
        _parent("webhooks", "agent_id", "agents.id"),
        _key("webhooks", "agent_id"),
    )
    _create_questions()


def _add_columns() -> None:
    op.add_column("builds", _text("explanation", nullable=True))
    for name in ("explain", "upgrade"):
        op.add_column("builds", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    unended = sa.text("ended_ms IS NULL")
    op.create_index("ix_builds_unended", "builds", ["project_id"], sqlite_where=unended, postgresql_where=unended)
    op.add_column("agents", _text("owner", default=""))
    op.add_column("agents", sa.Column("poll_s", sa.Double(), nullable=True))
    op.add_column("agents", _big("poll_due_ms", nullable=True))
    op.add_column("agents", _text("looked", nullable=True))
    op.add_column("agents", _big("asked_ms", nullable=True))
    polled = sa.text("poll_due_ms IS NOT NULL AND removed_ms IS NULL")
    op.create_index("ix_agents_polled", "agents", ["poll_due_ms"], sqlite_where=polled, postgresql_where=polled)
    owned = sa.text("owner <> '' AND removed_ms IS NULL")
    op.create_index(
        "uq_agents_owned_title",
        "agents",
        ["project_id", "owner", "title"],
        unique=True,
        sqlite_where=owned,
        postgresql_where=owned,
    )
    op.create_index("ix_agents_owner", "agents", ["project_id", "owner", "id"])
    op.add_column("attempts", _big("waited_ms", default="0"))
    op.add_column("attempts", _big("waiting_since_ms", nullable=True))
    op.add_column("work", sa.Column("resting", sa.Boolean(), nullable=False, server_default=sa.false()))
    resting = sa.text("resting AND state IN ('queued', 'leased')")
    op.create_index("ix_work_resting", "work", ["owner"], sqlite_where=resting, postgresql_where=resting)


def _create_questions() -> None:
    op.create_table(
        "questions",
        _text("id"),
        _text("run_id"),
        _text("project_id"),
        _text("key"),
        _text("text"),
        _text("choices"),
        _text("answer_schema", nullable=True),
        _big("asked_ms"),
        _big("expires_ms"),
        _text("answer", nullable=True),
        _big("answered_ms", nullable=True),
        _text("answered_by"),
        _parent("questions", "run_id", "runs.id"),
        _key("questions", "id"),
        sa.UniqueConstraint("run_id", "key", name="uq_questions_key"),
    )
    still_open = sa.text("answered_ms IS NULL")
    op.create_index(
        "ix_questions_open", "questions", ["project_id", "id"], sqlite_where=still_open, postgresql_where=still_open
    )
