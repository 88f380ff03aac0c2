"""Sandboxes that only wait."""

from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.bench import Bench, Row, load
from benchmarks.model import Bar, Figure
from benchmarks.processes import memory_mb
from benchmarks.sandbox import ground, new_spec
from skep.product.sandboxes.model import SandboxId

_HELD = 200
_MB = 1 << 20


async def idle(bench: Bench) -> AsyncIterator[Figure]:
    """Hold many, and ask the kernel what each costs."""
    before = load()
    async with ground() as made:
        handles = [await made.driver.create(new_spec()) for _ in range(_HELD)]
        shares = [memory_mb(_first_process(made.keeper.run_dir, handle.id))[0] for handle in handles]
        counted = [(await made.driver.inspect(handle)).memory_bytes / _MB for handle in handles]
        own = memory_mb(made.keeper.process.pid)
    bar = Bar(limit=15, of="max")
    yield bench.figure(f"each of {_HELD} idle sandboxes, share (PSS)", "MB", shares, bar, load=before)
    yield bench.figure("the same, as its control group counts", "MB", counted, bar, load=before)
    yield bench.figure(f"the keeper of {_HELD}, resident (RSS)", "MB", own[1:], load=before)


def _first_process(run_dir: Path, sandbox_id: SandboxId) -> int:
    return int((run_dir / "s" / sandbox_id / "pid").read_text())


ROWS = (Row(name="idle", about=f"memory of {_HELD} idle sandboxes", measure=idle, sandboxes=True),)
