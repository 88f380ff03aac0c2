"""Indexes by which retention finds what is too old, and the sweep whether a file has a row.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_PLAIN = (
    ("ix_artifacts_blob", "artifacts", "blob_id"),
    ("ix_attempts_log", "attempts", "log_id"),
    ("ix_builds_log", "builds", "log_id"),
    ("ix_runs_version", "runs", "version_id"),
    ("ix_uploads_blob", "uploads", "blob_id"),
    ("ix_uploads_created", "uploads", "created_ms"),
    ("ix_versions_image", "versions", "image_id"),
)
_PARTIAL = (
    ("ix_builds_ended", "builds", "ended_ms IS NOT NULL"),
    ("ix_runs_ended", "runs", "ended_ms IS NOT NULL"),
    ("ix_work_dead", "work", "state = 'dead'"),
)


def upgrade() -> None:
    for name, table, column in _PLAIN:
        op.create_index(name, table, [column])
    for name, table, condition in _PARTIAL:
        where = sa.text(condition)
        op.create_index(name, table, ["ended_ms"], sqlite_where=where, postgresql_where=where)
