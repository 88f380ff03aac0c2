"""How Skep speaks with the supervisor inside a sandbox, and reads what a dead one left."""
