"""What a terminal shows: tables fit it, and nothing that is said acts on it."""

import os
import pty
import subprocess
import sys

SCRIPT = """
from skep.edge.cli import screen

rows = [("warning", "disk", "one two three four five six seven eight nine ten eleven twelve")]
screen.table(("level", "what", "finding"), rows, empty="", prose="finding")
"""


WORDS = "fetching [/x] [link=http://elsewhere]a[/link]"
WAITING = f"""
from skep.edge.cli import screen

with screen.waiting("a [/b]") as update:
    update({WORDS!r})
"""


def shown_by(script: str) -> str:
    """Return what *script* shows on a narrow terminal."""
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", script],
        stdout=theirs,
        stderr=theirs,
        check=True,
        env={**os.environ, "COLUMNS": "40", "TERM": "xterm", "NO_COLOR": "1"},  # noqa: TID251
    )
    os.close(theirs)
    with os.fdopen(ours, "rb") as screen:
        return screen.read1().decode()


def test_prose_is_folded_and_nothing_is_cut() -> None:
    """On a narrow screen a sentence takes several lines; the short columns beside it stay whole."""
    shown = shown_by(SCRIPT)
    assert "LEVEL" in shown
    assert "warning" in shown
    assert "…" not in shown
    assert "twelve" in shown
    assert max(len(line) for line in shown.splitlines()) <= 40 + len("\x1b[1m\x1b[0m") * 5


def test_words_of_the_wait_are_taken_literally() -> None:
    """A file's name is an agent's: it makes no link, and a bracket in it ends nothing."""
    shown = shown_by(WAITING)

    assert "\x1b]8" not in shown
    assert "[link=http://elsewhere]" in "".join(shown.split("\r\n"))
