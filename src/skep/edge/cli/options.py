"""Options that several verbs share, and how their values are read."""

import re
import shlex
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most this many.")]

_SIZES = {"": 1, "m": 1, "mb": 1, "mib": 1, "g": 1024, "gb": 1024, "gib": 1024, "k": 1 / 1024, "kb": 1 / 1024}
_TIMES = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def confirmed(question: str) -> None:
    """Go on when somebody at a terminal says yes; where nobody can be asked, `--yes` has to say it."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} Nobody can be asked here: standard input is no terminal. Add --yes.")
    typer.confirm(question, abort=True, err=True)


def not_empty(option: str, value: str | None) -> None:
    """Refuse an option that was given and says nothing: a variable of a script was empty."""
    if value is not None and not value.strip():
        raise typer.BadParameter(f"{option} is empty")


def words(option: str, text: str) -> list[str]:
    """Take a command line apart as a shell does."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error


def memory_mb(text: str) -> int:
    """Read an amount of memory as `docker` writes it (`512M`, `2g`) into MiB; a bare number is MiB."""
    number, unit = _quantity(text, _SIZES, "an amount of memory, for example 512M or 2g")
    return max(1, round(number * unit))


def disk_mb(text: str) -> int:
    """Read an amount of disk space as `memory_mb` reads one of memory."""
    number, unit = _quantity(text, _SIZES, "an amount of disk space, for example 512M or 2g")
    return max(1, round(number * unit))


def seconds(text: str) -> float:
    """Read a length of time (`60s`, `5m`, `1h`) into seconds; a bare number is seconds."""
    number, unit = _quantity(text, _TIMES, "a length of time, for example 60s, 5m or 1h")
    return number * unit


def _quantity(text: str, units: dict[str, Any], wanted: str) -> tuple[float, float]:
    found = _QUANTITY.fullmatch(text)
    if found is None or found[2].lower() not in units:
        raise typer.BadParameter(f"{text!r} is not {wanted}")
    return float(found[1]), float(units[found[2].lower()])


def pairs(items: Iterable[str], what: str) -> dict[str, str]:
    """Read `KEY=VALUE` items."""
    found: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{item!r} is not {what}")
        found[key] = value
    return found
