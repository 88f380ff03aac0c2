"""What makes sandboxes: a folder each, with the same files."""
