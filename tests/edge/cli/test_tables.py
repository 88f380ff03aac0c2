"""Tables on narrow screens: what stays whole, what folds, what is left out."""

import subprocess
import sys

import pytest
from terminal import lines_of, shown_by

from skep.edge.cli.tables import Column, fitting

ID = "run_01m7wrgj2c585rqe1xq8rv3h68"
SCRIPT = f"""
from skep.edge.cli.tables import Column, table

columns = ("name", "id", Column("finding", folds=True), Column("updated", drops=True), Column("source", drops=True))
table(columns, [("warning", {ID!r}, "one two three four five six", "3 min ago", "https://host/me/agent.git")])
"""


@pytest.mark.parametrize(
    ("room", "shown"),
    [
        (200, [0, 1, 2, 3, 4]),
        (74, [0, 1, 2, 3, 4]),
        (73, [0, 1, 2, 3]),
        (58, [0, 1, 2, 3]),
        (47, [0, 1, 2]),
        (46, None),
    ],
)
def test_the_rightmost_that_may_go_goes_first(room, shown):
    """Folding comes before leaving out; what must stay and has no room makes no table at all."""
    heads = [Column("name"), Column("id"), Column("text", folds=True), Column("a", drops=True), Column("b", drops=True)]
    assert fitting(heads, [7, 30, 27, 9, 14], [7, 30, 6, 3, 14], room) == shown


@pytest.mark.parametrize("width", [120, 80, 60, 50])
def test_names_and_ids_are_whole_on_any_screen(width):
    """They can be copied; nothing is longer than the screen, and prose takes several lines."""
    shown = lines_of(shown_by(SCRIPT, width=width))
    text = "\n".join(shown)
    assert ID in text
    assert "warning" in text
    assert "…" not in text
    assert "six" in text
    assert max(map(len, shown)) <= width
    assert ("agent.git" in text) == (width == 120)
    assert ("3 min ago" in text) == (width >= 60)


def test_a_screen_too_narrow_for_a_table_gets_blocks():
    """One line a value: the terminal itself breaks what is longer."""
    shown = lines_of(shown_by(SCRIPT, width=40))
    assert shown[:2] == ["NAME     warning", f"ID       {ID}"]


def test_what_is_no_terminal_gets_everything_on_one_line():
    """A program that reads the table finds every column, whole."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    head, row = done.stdout.splitlines()
    assert head.split() == ["NAME", "ID", "FINDING", "UPDATED", "SOURCE"]
    assert "one two three four five six" in row
    assert "https://host/me/agent.git" in row


def test_an_empty_table_says_what_to_do_or_that_nothing_matches():
    """Whoever asked for running ones is not told to start the first."""
    for filtered, words in ((False, "Start one"), (True, "Nothing matches.")):
        script = f"from skep.edge.cli.tables import table; table(['id'], [], empty='Start one', filtered={filtered})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == words


def test_a_column_that_says_nothing_leaves_its_room_to_others():
    """On a terminal; a program finds every column in its place."""
    script = """
from skep.edge.cli.tables import Column, table

table(("id", Column("error", drops=True), Column("started", drops=True)), [("bld_1", None, "3 min ago")])
"""
    assert lines_of(shown_by(script, width=20)) == ["ID     STARTED", "bld_1  3 min ago"]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "ERROR" in done.stdout
