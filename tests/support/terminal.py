"""What a script shows on a terminal of a given width."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def shown_by(script: str, *, width: int = 40, **environment: str) -> str:
    """Run *script* with standard output and error on a terminal, and return what it shows, escapes and all."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": str(width), "TERM": "xterm", "NO_COLOR": "1", **environment},  # noqa: TID251
    )
    os.close(theirs)
    parts: list[bytes] = []
    # Linux says EIO when nobody has the other end any more.
    with suppress(OSError):
        while part := os.read(ours, 65536):
            parts.append(part)
    os.close(ours)
    assert process.wait() == 0
    return b"".join(parts).decode()


def lines_of(shown: str) -> list[str]:
    """Return the lines that somebody reads, without styles and blanks at the end."""
    return [line.rstrip() for line in _STYLE.sub("", shown).splitlines()]
