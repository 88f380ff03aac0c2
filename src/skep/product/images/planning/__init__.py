"""What a build will do, decided from values alone: recognised, locked, layer upon layer. Nothing in here does I/O."""
