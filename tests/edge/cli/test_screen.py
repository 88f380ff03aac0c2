"""What a terminal shows: nothing that is said acts on it."""

from terminal import shown_by

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
