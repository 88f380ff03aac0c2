"""Package indexes behind the door: asked for a sandbox with the operator's credentials, checked, and kept for all."""
