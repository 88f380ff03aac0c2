"""Tables for people: on a narrow screen columns fold or are left out, and what somebody may copy is never cut."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from skep.edge.cli import screen

_GAP = 2
#: A column that folds keeps its longest word whole, up to the length of an id.
_LONGEST_WORD = 30


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what becomes of it where there is no room; one that does neither stays whole."""

    title: str
    #: Takes several lines.
    folds: bool = False
    #: Is left out; the rightmost of these goes first.
    drops: bool = False


def table(
    columns: Sequence[Column | str], rows: Iterable[Sequence[Any]], *, empty: str = "", filtered: bool = False
) -> None:
    """Print a table; without rows say what to do, or that nothing matches when it was *filtered*.

    What is no terminal gets every column whole, one line a row; a terminal none that may be left out and is empty.
    """
    heads = [column if isinstance(column, Column) else Column(column) for column in columns]
    cells = [[screen.cell(value) for value in row] for row in rows]
    if not cells:
        screen.say("Nothing matches." if filtered else empty, style="dim")
        return
    out = screen.console()
    if out.is_terminal:
        said = [
            at
            for at, head in enumerate(heads)
            if not head.drops or any(row[at].plain != screen.NOTHING for row in cells)
        ]
        heads, cells = [heads[at] for at in said], [[row[at] for at in said] for row in cells]
    widths = [max(len(head.title), *(row[at].cell_len for row in cells)) for at, head in enumerate(heads)]
    words = [_longest_word([head.title, *(row[at].plain for row in cells)]) for at, head in enumerate(heads)]
    if not out.is_terminal:
        out.width = sum(widths) + _GAP * len(widths)
    shown = fitting(heads, widths, words, out.width)
    if shown is None:
        for row in cells:
            out.print(_record(heads, row), soft_wrap=True)
        return
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for at in shown:
        made.add_column(heads[at].title.upper(), no_wrap=not heads[at].folds, overflow="fold")
    for row in cells:
        made.add_row(*(row[at] for at in shown))
    out.print(made)


def fitting(heads: Sequence[Column], widths: Sequence[int], words: Sequence[int], room: int) -> list[int] | None:
    """Choose the columns that fit into *room*, by their places; None where those that must stay do not fit.

    *widths* are the columns' own, *words* those of the longest word in each.
    """
    least = [min(words[at], _LONGEST_WORD) if head.folds else widths[at] for at, head in enumerate(heads)]
    shown = list(range(len(heads)))
    while sum(least[at] for at in shown) + _GAP * (len(shown) - 1) > room:
        droppable = [at for at in shown if heads[at].drops]
        if not droppable:
            return None
        shown.remove(droppable[-1])
    return shown


def _longest_word(texts: Iterable[str]) -> int:
    return max(Text(word).cell_len for text in texts for word in (text.split() or [""]))


def _record(heads: Sequence[Column], row: Sequence[Text]) -> Text:
    """Write a row as a block of lines, which any screen shows whole; what is empty is left out."""
    pad = max(len(head.title) for head in heads) + _GAP
    filled = [(head, row[at]) for at, head in enumerate(heads) if row[at].plain != screen.NOTHING]
    lines = [Text.assemble((f"{head.title.upper():<{pad}}", "bold"), text) for head, text in filled]
    return Text("\n").join([*lines, Text()])
