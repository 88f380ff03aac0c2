"""`python -m benchmarks [ROW...]`: measure, print the table, write `benchmarks/results/<date>.json`."""

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from benchmarks import machine, report
from benchmarks.bench import Bench, Row
from benchmarks.model import Failure, Figure
from benchmarks.rows import ROWS

_RESULTS = Path(__file__).parent / "results"
_PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_BEGIN, _END = "<!-- figures -->\n", "<!-- end of figures -->\n"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 if a row could not be measured. A bar that is not met is a result, not an error."""
    chosen = _arguments(argv)
    console = Console(stderr=chosen.json, width=None if sys.stdout.isatty() else 180)
    about = _about(chosen.repetitions)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures, failures = runner.run(_measure(chosen.rows, chosen.repetitions, console))
    report.show(console, about, figures, failures)
    result = report.as_json(about, figures, failures)
    if chosen.json:
        print(json.dumps(result, indent=2))
    console.print(f"written to {_write(result, chosen.results)}")
    if chosen.docs:
        _document(report.markdown(about, figures, failures), chosen.docs)
    return 1 if failures else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    listing = "\n".join(f"  {row.name:<22} {row.about}" for row in ROWS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Skep against its bars.",
        epilog=f"rows:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", metavar="ROW", help="what to measure; all of it unless named")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="how often, at the least (5)")
    parser.add_argument("--json", action="store_true", help="print JSON, and the table to standard error")
    parser.add_argument("--results", type=Path, default=_RESULTS, metavar="DIR", help="where the result is written")
    parser.add_argument(
        "--docs",
        nargs="?",
        type=Path,
        const=_PAGE,
        metavar="PAGE",
        help="put the figures into a page (docs/performance.md)",
    )
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.rows) - set(names):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen.rows = [row for row in ROWS if not chosen.rows or row.name in chosen.rows]
    return chosen


async def _measure(rows: Sequence[Row], repetitions: int, console: Console) -> tuple[list[Figure], list[Failure]]:
    figures: list[Figure] = []
    failures: list[Failure] = []
    for row in rows:
        console.print(f"[dim]{row.name}: {row.about} ...[/dim]")
        if row.sandboxes and (missing := _missing()):
            failures.append(Failure(row.name, missing))
            continue
        try:
            figures += [figure async for figure in row.measure(Bench(row=row.name, repetitions=repetitions))]
        except Exception as error:  # noqa: BLE001  the other rows are worth having
            failures.append(Failure(row.name, f"{type(error).__name__}: {error}"))
    return figures, failures


def _missing() -> str:
    if os.geteuid() != 0:
        return "it makes sandboxes, which needs root"
    return "" if shutil.which("runc", path=_SYSTEM_PATH) else "runc is missing"


def _about(repetitions: int) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251  the date of the result
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "repetitions": repetitions,
        "machine": machine.machine(),
        "versions": machine.versions(),
    }


def _write(result: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{result['at'].replace(':', '').replace('+0000', 'Z')}.json"
    place.write_text(json.dumps(result, indent=2) + "\n")
    return place


def _document(text: str, page: Path) -> None:
    """Replace what stands between the page's marks."""
    head, _, rest = page.read_text().partition(_BEGIN)
    page.write_text(f"{head}{_BEGIN}\n{text}\n{_END}{rest.partition(_END)[2]}")


if __name__ == "__main__":
    sys.exit(main())
