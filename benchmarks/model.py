"""What was measured, what it is compared with, and whether that is enough. Pure: nothing is timed here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of *values* that at least *share* of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


#: The statistics that a bar may name.
STATISTICS = {
    "p50": lambda values: quantile(values, 0.5),
    "p95": lambda values: quantile(values, 0.95),
    "p99": lambda values: quantile(values, 0.99),
    "max": max,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a figure must reach."""

    limit: float
    of: str = "p50"
    #: True where more is better.
    at_least: bool = False
    #: Name of a peer; the limit is then the ratio of both medians.
    against: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: repeated measurements of one thing, beside those of its peers."""

    row: str
    what: str
    unit: str
    values: tuple[float, ...]
    #: Measured in the same run, in the same unit.
    peers: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    bars: tuple[Bar, ...] = ()
    #: The load average of one minute before the measurements.
    load: float = 0.0
    note: str = ""

    def statistic(self, name: str) -> float:
        """Return "p50", "p95", "p99" or "max" of the measurements."""
        return float(STATISTICS[name](self.values))

    def ratio(self, peer: str) -> float:
        """Return the median in medians of *peer*."""
        return self.statistic("p50") / quantile(self.peers[peer], 0.5)

    def reached(self, bar: Bar) -> float:
        """Return the number that *bar* is about."""
        return self.ratio(bar.against) if bar.against else self.statistic(bar.of)

    def meets(self, bar: Bar) -> bool:
        """Tell whether *bar* is met."""
        return self.reached(bar) >= bar.limit if bar.at_least else self.reached(bar) <= bar.limit

    def worded(self, bar: Bar) -> str:
        """Say what *bar* asks for."""
        sign = ">=" if bar.at_least else "<="
        return f"{sign} {bar.limit:g} x {bar.against}" if bar.against else f"{bar.of} {sign} {bar.limit:g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that could not be measured, and why."""

    row: str
    why: str
