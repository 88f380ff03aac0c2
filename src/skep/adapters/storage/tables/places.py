"""Tables of machines, and of the sandboxes on them."""

from sqlalchemy import Index

from skep.adapters.storage.tables.columns import identity, json, ms, table, text

nodes = table(
    "nodes",
    identity(),
    text("name"),
    text("boot_id"),
    text("incarnation"),
    ms("heartbeat_ms"),
    ms("started_ms"),
)

sandboxes = table(
    "sandboxes",
    identity(),
    text("project_id"),
    text("node_id"),
    text("owner"),
    text("phase"),
    json("handle", nullable=True),
    ms("created_ms"),
    Index("ix_sandboxes_node", "node_id", "id"),
)
