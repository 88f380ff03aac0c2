"""Source -> build plan (pure) -> built environment; content-addressed."""
