"""The `skep` command: one file per noun, thin over `skep.edge.client`; `up` and `serve` alone start something."""
