"""What a row is given, and what it gives back."""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.model import Bar, Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """How thoroughly is measured; makes the figures of one row."""

    row: str
    repetitions: int

    def figure(
        self,
        what: str,
        unit: str,
        values: Sequence[float],
        *bars: Bar,
        load: float,
        peers: Mapping[str, Sequence[float]] | None = None,
        note: str = "",
    ) -> Figure:
        """Make a figure of this row; a peer that was not measured is left out, and the bars against it."""
        kept = {name: tuple(found) for name, found in (peers or {}).items() if found}
        return Figure(
            row=self.row,
            what=what,
            unit=unit,
            values=tuple(values),
            peers=kept,
            bars=tuple(bar for bar in bars if not bar.against or bar.against in kept),
            load=load,
            note=note,
        )


Measure = Callable[[Bench], AsyncIterator[Figure]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Some figures that are measured together."""

    name: str
    about: str
    measure: Measure
    #: It makes sandboxes: root and runc are needed.
    sandboxes: bool = False


def load() -> float:
    """Return the load average of the last minute."""
    return round(os.getloadavg()[0], 2)


async def milliseconds(action: Awaitable[object]) -> float:
    """Await *action*; return how long it took."""
    begin = time.perf_counter()
    await action
    return (time.perf_counter() - begin) * 1000


def seconds(action: Callable[[], object]) -> float:
    """Call *action*; return how long it took."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
