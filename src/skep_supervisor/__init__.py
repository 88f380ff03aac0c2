"""Process 1 of a sandbox: starts commands, spools their output, keeps their ends. Standard library only."""
