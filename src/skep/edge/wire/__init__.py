"""The shapes of the native API, shared by the server and the Python client; no behaviour, no I/O."""
