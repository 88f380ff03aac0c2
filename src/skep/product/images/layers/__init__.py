"""The sealed layers of a machine: kept account of, shown, held, and removed when nothing needs them."""
