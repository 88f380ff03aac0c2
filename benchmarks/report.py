"""Says what was measured: a table for people, JSON for machines."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.model import Failure, Figure, quantile

_SHOWN = ("p50", "p95", "p99")


def table(figures: Sequence[Figure]) -> Table:
    """Lay the figures out, one line each."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    for name in ("row", "what"):
        made.add_column(name, overflow="fold")
    for name in ("n", *_SHOWN):
        made.add_column(name, justify="right", no_wrap=True)
    for name in ("unit", "beside it (p50, ratio)", "bar", "", "load"):
        made.add_column(name, overflow="fold")
    last = ""
    for figure in figures:
        what = f"{figure.what}\n({figure.note})" if figure.note else figure.what
        made.add_row(
            Text("" if figure.row == last else figure.row, "bold"),
            what,
            str(len(figure.values)),
            *(number(figure.statistic(name)) for name in _SHOWN),
            figure.unit,
            "\n".join(
                f"{name} {number(quantile(v, 0.5))}, {figure.ratio(name):.2f} x" for name, v in figure.peers.items()
            ),
            "\n".join(figure.worded(bar) for bar in figure.bars),
            Text("\n").join(verdict(met=figure.meets(bar)) for bar in figure.bars),
            f"{figure.load:.1f}",
        )
        last = figure.row
    return made


def verdict(*, met: bool) -> Text:
    """Say whether a bar is met."""
    return Text("met", "green") if met else Text("not met", "bold red")


def number(value: float) -> str:
    """Write a number with three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def show(console: Console, about: Mapping[str, Any], figures: Sequence[Figure], failures: Sequence[Failure]) -> None:
    """Print the table, what failed, and the sum."""
    at = about["machine"]
    console.print(
        f"{at['cores']} cores, {at['memory_mb']} MB, Linux {at['kernel']}, fsync {at['fsync_ms']} ms,"
        f" load average before {about['load_before'][0]:.2f}"
    )
    console.print(table(figures))
    for failure in failures:
        console.print(Text(f"{failure.row}: not measured: {failure.why}", "red"))
    met = [figure.meets(bar) for figure in figures for bar in figure.bars]
    console.print(f"{sum(met)} of {len(met)} bars met")


def markdown(about: Mapping[str, Any], figures: Sequence[Figure], failures: Sequence[Failure]) -> str:
    """Write the figures as a table for a page of documentation."""
    at, of = about["machine"], about["versions"]
    head = (
        f"{about['at'][:10]}, {at['processor']}, {at['cores']} cores, {at['memory_mb']} MB, Linux {at['kernel']},"
        f" runc {of['runc']}, Python {of['python']}, SQLite {of['sqlite']}, fsync {at['fsync_ms']} ms;"
        f" load average before: {about['load_before'][0]}, and beside each figure."
    )
    lines = [head, "", "| row | what | n | p50 | p95 | p99 | beside it | bar | load |", "|" + "---|" * 9]
    lines += [f"| {' | '.join(_cells(figure))} |" for figure in figures]
    lines += ["", *(f"Not measured: {failure.row} ({failure.why})" for failure in failures)]
    return "\n".join(lines).strip() + "\n"


def _cells(figure: Figure) -> list[str]:
    beside = [f"{name} {number(quantile(v, 0.5))} ({figure.ratio(name):.2f} x)" for name, v in figure.peers.items()]
    bars = [f"{figure.worded(bar)}: {'met' if figure.meets(bar) else '**not met**'}" for bar in figure.bars]
    statistics = [f"{number(figure.statistic(name))} {figure.unit}" for name in _SHOWN]
    what = f"{figure.what} ({figure.note})" if figure.note else figure.what
    return [
        *(figure.row, what, str(len(figure.values)), *statistics),
        *("<br>".join(beside), "<br>".join(bars), f"{figure.load:.1f}"),
    ]


def as_json(about: Mapping[str, Any], figures: Sequence[Figure], failures: Sequence[Failure]) -> dict[str, Any]:
    """Return all that is known of a run of the benchmarks."""
    return {
        **about,
        "figures": [_figure(figure) for figure in figures],
        "not_measured": [{"row": failure.row, "why": failure.why} for failure in failures],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "row": figure.row,
        "what": figure.what,
        "unit": figure.unit,
        **_statistics(figure.values),
        "peers": {name: _statistics(v) | {"ratio": round(figure.ratio(name), 3)} for name, v in figure.peers.items()},
        "bars": [
            {"bar": figure.worded(bar), "reached": round(figure.reached(bar), 3), "met": figure.meets(bar)}
            for bar in figure.bars
        ],
        "load_before": figure.load,
        "note": figure.note,
        "values": [round(value, 3) for value in figure.values],
    }


def _statistics(values: Sequence[float]) -> dict[str, Any]:
    return {"n": len(values)} | {
        name: round(quantile(values, share), 3) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
