"""The only way out of a sandbox: policy, and the proxy behind its doors."""
