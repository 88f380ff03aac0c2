"""Large things: logs, artifacts, uploads. A folder, or later an object store."""
