"""What people see: lines for a terminal, or JSON on standard output for programs."""

import json
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from skep.edge.cli.clean import clean
from skep.edge.cli.hints import in_verbs
from skep.edge.wire.common import LogPiece
from skep.kernel.clock import SystemClock
from skep.kernel.errors import SkepError

#: Words that have a colour wherever they stand.
_STYLES = {
    **dict.fromkeys(("ready", "succeeded", "finished", "ok"), "green"),
    **dict.fromkeys(("failed", "broken", "lost", "timed_out", "error"), "red"),
    **dict.fromkeys(("running", "building"), "cyan"),
    **dict.fromkeys(("queued", "new", "cancelled", "waiting", "warning"), "yellow"),
}
_PIPE_WIDTH = 200
#: Shows that something goes on: only through it can more be said without tearing its line.
_animated: ContextVar[Console | None] = ContextVar("animated", default=None)
#: Stands where a cell is empty.
NOTHING = "-"


def console(*, stderr: bool = False) -> Console:
    """Return a console that takes every text literally; NO_COLOR is honoured by rich."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def wants_json() -> bool:
    """Tell whether a program reads what we say, wherever on the command line that stands."""
    return "--json" in sys.argv


def say(text: str | Text = "", style: str = "") -> None:
    """Print a line for people on standard error, where it never mixes with results."""
    shown = _animated.get() or console(stderr=True)
    shown.print(Text(text, style=style) if isinstance(text, str) else text)


def emit(value: BaseModel | Sequence[BaseModel] | Mapping[str, Any]) -> None:
    """Print *value* as JSON on standard output, plain ASCII, so that no terminal is moved by it."""
    if isinstance(value, BaseModel):
        plain: Any = value.model_dump(mode="json")
    elif isinstance(value, Sequence):
        plain = [item.model_dump(mode="json") for item in value]
    else:
        plain = value
    sys.stdout.write(json.dumps(plain, indent=2) + "\n")
    sys.stdout.flush()


@contextmanager
def waiting(text: str, *, quiet: bool = False) -> Generator[Callable[[str], None]]:
    """Show that something goes on, on a terminal; gives a function that changes the words, taken literally."""
    shown = console(stderr=True)
    if quiet or not shown.is_terminal:
        yield lambda _words: None
        return
    # A status reads a plain string as markup, whatever the console was told.
    with shown.status(Text(text)) as status:
        before = _animated.set(shown)
        try:
            yield lambda words: status.update(Text(words))
        finally:
            _flush()
            _animated.reset(before)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def cell(value: Any) -> Text:
    """Return one value as harmless text."""
    if value is None or value == "":
        return Text(NOTHING, style="dim")
    text = age(value) if isinstance(value, datetime) else clean(str(value)).replace("\n", " ")
    return Text(text, style=_STYLES.get(text, ""))


def age(moment: datetime) -> str:
    """Say how long ago *moment* was."""
    seconds = max(0.0, (SystemClock().now() - moment.astimezone(UTC)).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds)} s ago"


def duration(seconds: float) -> str:
    """Write a length of time in two units at the most."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def count(number: int, what: str) -> str:
    """Write a number of things, one or many."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def size(number: float) -> str:
    """Write a number of bytes with a unit."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


class Log:
    """Prints what an agent printed where it came from, and begins what others say on a line of its own."""

    def __init__(self) -> None:
        #: The terminal's cursor stands within a line.
        self._within = False

    def piece(self, part: LogPiece) -> None:
        """Print a piece of a log."""
        if part.stream in ("stdout", "stderr"):
            self.text(part.stream, part.text)
        else:
            self.end_line()
            say(clean(part.text).rstrip("\n"), style="dim")

    def text(self, stream: str, text: str) -> None:
        """Print untrusted text of "stdout" or "stderr"."""
        out = sys.stdout if stream == "stdout" else sys.stderr
        out.write(clean(text))
        # While something is animated each flush ends a line, and programs print theirs in fragments.
        if _animated.get() is None:
            out.flush()
        if text and out.isatty():
            self._within = not text.endswith("\n")

    def end_line(self) -> None:
        """Have what is said next begin on a new line, on a terminal."""
        if _animated.get() is not None:
            _flush()
        elif self._within and sys.stderr.isatty():
            say()
        self._within = False


def error(problem: SkepError, *, as_json: bool) -> None:
    """Print what went wrong, and what to do, on standard error."""
    if as_json:
        body = {"code": problem.code, "message": problem.message, "hint": problem.hint, "fields": problem.fields}
        sys.stderr.write(json.dumps({"error": body}) + "\n")
        return
    say(Text.assemble(("error: ", "bold red"), clean(problem.message)))
    for field, what in problem.fields.items():
        say(f"  {clean(field)}: {clean(what)}")
    if problem.hint:
        say(Text.assemble(("hint: ", "bold"), in_verbs(clean(problem.hint))))
