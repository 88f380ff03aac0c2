"""Named values, encrypted at rest."""
