"""Runs, asked for and followed through the API."""

import asyncio
import time
from collections.abc import AsyncIterator

from benchmarks.bare import bare_runc, finish
from benchmarks.bench import Bench, Row, load, milliseconds
from benchmarks.installed import Caller
from benchmarks.model import Figure
from benchmarks.sandbox import ground
from skep.testing.installation import installation

_AGENT = "trivial"
_MAIN = "print('hello')\n"
_AT_ONCE = 60


async def runs(bench: Bench) -> AsyncIterator[Figure]:
    """One after the other, then many at once; the floor is the runtime alone on a Python that does the same."""
    before = load()
    each, bare, rates = list[float](), list[float](), list[float]()
    with installation() as skep:
        caller = Caller(skep)
        caller.call("POST", "/agents", {"name": _AGENT, "source": {"files": {"main.py": _MAIN}}})
        await asyncio.to_thread(caller.build, _AGENT)
        async with ground() as made:
            kept = await made.cold()
            with bare_runc(made.config(kept)) as runc:
                for _ in range(4 * bench.repetitions):
                    each.append(await milliseconds(asyncio.to_thread(_run, caller)))
                    bare.append(await milliseconds(finish(runc.argv("/usr/bin/python3", "-c", _MAIN))))
        for _ in range(max(bench.repetitions // 2, 1)):
            rates.append(await asyncio.to_thread(_rate, caller))
        caller.close()
    yield bench.figure("POST /runs to final, followed", "ms", each, peers={"bare runc run python3": bare}, load=before)
    yield bench.figure(f"{_AT_ONCE} runs at once", "runs/s", rates, load=before)


def _start(caller: Caller) -> str:
    return str(caller.call("POST", "/runs", {"agent_id": _AGENT, "inputs": {}})["id"])


def _run(caller: Caller) -> None:
    run = _start(caller)
    for _ in caller.follow(f"/runs/{run}/events"):
        pass
    caller.succeed(f"/runs/{run}")


def _rate(caller: Caller) -> float:
    began = time.perf_counter()
    started = [_start(caller) for _ in range(_AT_ONCE)]
    for run in started:
        caller.succeed(f"/runs/{run}")
    return _AT_ONCE / (time.perf_counter() - began)


ROWS = (Row(name="runs", about="runs through the API", measure=runs, sandboxes=True),)
