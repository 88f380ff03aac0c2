"""Sandboxes by an OCI runtime, without a daemon: the keeper makes them, their supervisors run the commands."""
