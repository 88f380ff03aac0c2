"""The installation's key: a file, and what is sealed with it."""
