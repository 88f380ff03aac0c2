"""What a terminal shows: nothing that is said acts on it."""

import re

from terminal import lines_of, shown_by

#: What moves the cursor, hides it, or clears its line.
_MOVES = re.compile(r"\x1b\[[?0-9;]*[A-Za-ln-z]")
WORDS = "fetching [/x] [link=http://elsewhere]a[/link]"
WAITING = f"""
from skep.edge.cli import screen

with screen.waiting("a [/b]") as update:
    update({WORDS!r})
"""


def test_words_of_the_wait_are_taken_literally() -> None:
    """A file's name is an agent's: it makes no link, and a bracket in it ends nothing."""
    shown = shown_by(WAITING)

    assert "\x1b]8" not in shown
    assert "[link=http://elsewhere]" in "".join(shown.split("\r\n"))


PIECES = """
from skep.edge.cli import screen

log = screen.Log()
log.text("stdout", "no newline at end")
log.end_line()
screen.say("succeeded")
log.text("stdout", "a line\\n")
log.end_line()
screen.say("done")
"""


def test_what_is_said_begins_on_a_line_of_its_own() -> None:
    """Whether or not the agent ended its last line."""
    shown = shown_by(PIECES)

    assert lines_of(shown) == ["no newline at end", "succeeded", "a line", "done"]


SAID_MEANWHILE = """
from skep.edge.cli import screen

with screen.waiting("building"):
    screen.say("one")
"""


def test_what_is_said_meanwhile_has_a_line_of_its_own() -> None:
    """The words of the wait are not torn."""
    shown = shown_by(SAID_MEANWHILE, TERM="xterm")

    assert "buildingone" not in "".join(lines_of(shown))


FRAGMENTS = """
from skep.edge.cli import screen

log = screen.Log()
with screen.waiting("building"):
    for text in ("Resolved ", "38 packages", " ", "in 1.25s\\n", " ", "+", " anyio", "\\n", "cut"):
        log.text("stderr", text)
    log.end_line()
    screen.say("said")
    log.text("stderr", "the last")
"""


def test_a_line_that_comes_in_fragments_is_one_line() -> None:
    """So uv prints; what has no end is shown before others say something, and when the wait is over."""
    lines = lines_of(_MOVES.sub("", shown_by(FRAGMENTS)))

    said = [line for line in lines if "building" not in line]
    assert said[:5] == ["Resolved 38 packages in 1.25s", " + anyio", "cut", "said", "the last"]
