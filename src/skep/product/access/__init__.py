"""Projects, tokens, scopes, principals, the audit log."""
