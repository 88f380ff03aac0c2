"""How tables fit a narrow terminal."""

import os
import pty
import subprocess
import sys

SCRIPT = """
from skep.edge.cli import screen

rows = [("warning", "disk", "one two three four five six seven eight nine ten eleven twelve")]
screen.table(("level", "what", "finding"), rows, empty="", prose="finding")
"""


def test_prose_is_folded_and_nothing_is_cut() -> None:
    """On a narrow screen a sentence takes several lines; the short columns beside it stay whole."""
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", SCRIPT],
        stdout=theirs,
        check=True,
        env={**os.environ, "COLUMNS": "40", "TERM": "xterm", "NO_COLOR": "1"},  # noqa: TID251
    )
    os.close(theirs)
    with os.fdopen(ours, "rb") as screen:
        shown = screen.read1().decode()

    assert "LEVEL" in shown
    assert "warning" in shown
    assert "…" not in shown
    assert "twelve" in shown
    assert max(len(line) for line in shown.splitlines()) <= 40 + len("\x1b[1m\x1b[0m") * 5
