"""The Python that the machine itself has: every sandbox's /usr is the machine's."""

import subprocess

_PYTHON = "/usr/bin/python3"
_VERSION = "import platform; print(platform.python_version())"
_TIMEOUT_S = 10.0


def python_version() -> str:
    """Return the version of the machine's own Python, or "" if it does not tell; blocks for some 20 ms."""
    try:
        asked = subprocess.run(
            (_PYTHON, "-I", "-S", "-c", _VERSION), env={}, capture_output=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout.decode("ascii", "replace").strip()[:40]
