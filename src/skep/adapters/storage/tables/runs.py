"""Tables of runs, their attempts, and what they leave."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, UniqueConstraint

from skep.adapters.storage.tables.columns import ENDED, TEXT_TYPE, child_of, identity, json, ms, partial, table, text

#: Conditions of partial indexes: a query must say the same in the same words (no bound value) to use them.
UNFINISHED = "status IN ('queued', 'running', 'waiting')"
AWAITING = "version_id IS NULL AND status = 'queued'"
OPEN = "answered_ms IS NULL"

runs = table(
    "runs",
    identity(),
    text("project_id"),
    text("agent_id"),
    text("agent_name"),
    text("kind"),
    text("version_id", nullable=True),
    text("status"),
    json("inputs"),
    Column("timeout_s", Double, nullable=True),
    Column("cancel_requested", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    json("result", nullable=True),
    Column("exit_code", Integer, nullable=True),
    json("failure", nullable=True),
    json("usage"),
    ms("created_ms"),
    ms("started_ms", nullable=True),
    ms("ended_ms", nullable=True),
    Index("ix_runs_project", "project_id", "id"),
    Index("ix_runs_agent", "agent_id", "id"),
    Index("ix_runs_version", "version_id"),
    partial("ix_runs_ended", "ended_ms", where=ENDED),
    partial("ix_runs_unfinished", "project_id", "id", where=UNFINISHED),
    partial("ix_runs_awaiting", "agent_id", "id", where=AWAITING),
)

attempts = table(
    "attempts",
    identity(),
    child_of("run_id", "runs.id"),
    Column("number", Integer, nullable=False),
    text("phase"),
    text("sandbox_id"),
    text("log_id"),
    text("node_id"),
    json("exit", nullable=True),
    ms("created_ms"),
    ms("started_ms", nullable=True),
    Column("waited_ms", BigInteger, nullable=False, server_default="0"),
    ms("waiting_since_ms", nullable=True),
    ms("ended_ms", nullable=True),
    UniqueConstraint("run_id", "number", name="uq_attempts_number"),
    Index("ix_attempts_log", "log_id"),
)

run_events = table(
    "run_events",
    child_of("run_id", "runs.id", primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    ms("at_ms"),
    text("type"),
    json("data"),
)

questions = table(
    "questions",
    identity(),
    child_of("run_id", "runs.id"),
    text("project_id"),
    text("key"),
    text("text"),
    json("choices"),
    json("answer_schema", nullable=True),
    ms("asked_ms"),
    ms("expires_ms"),
    json("answer", nullable=True),
    ms("answered_ms", nullable=True),
    text("answered_by"),
    UniqueConstraint("run_id", "key", name="uq_questions_key"),
    partial("ix_questions_open", "project_id", "id", where=OPEN),
)

artifacts = table(
    "artifacts",
    child_of("run_id", "runs.id", primary_key=True),
    Column("path", TEXT_TYPE, primary_key=True),
    text("blob_id"),
    Column("size", BigInteger, nullable=False),
    text("sha256"),
    Index("ix_artifacts_blob", "blob_id"),
)
