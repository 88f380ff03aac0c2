"""The small process that holds the privileges: namespaces, mounts, control groups. Standard library only."""
