"""Where things lie in a build's sandbox, and in an agent's. Constants only."""

APP = "/app"
ENVIRONMENT = "/opt/env"
ENVIRONMENT_PYTHON = f"{ENVIRONMENT}/bin/python"
UV = "/opt/skep/bin/uv"
#: The machine's own Python.
PYTHON = "/usr/bin/python3"
#: Copies of Python that uv manages.
PYTHONS = "/opt/python"
NODE = "/opt/node"
NODE_BIN = f"{NODE}/bin"
#: Scratch room of a build's commands; nothing of it is sealed.
TMP = "/tmp"  # noqa: S108  inside a sandbox of our own
