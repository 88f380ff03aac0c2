"""What a terminal shows: nothing that is said acts on it."""

from terminal import lines_of, shown_by

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
