"""Sandboxes come and go: one by one from cold, and a hundred at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from benchmarks.bare import BareRunc, bare_runc, docker_argv, finish
from benchmarks.bench import Bench, Row, load, milliseconds
from benchmarks.model import Bar, Figure
from benchmarks.sandbox import Ground, ground
from skep.product.sandboxes.model import Handle

_BURST = 100
_BARE = "bare runc run"


async def cold(bench: Bench) -> AsyncIterator[Figure]:
    """Take turns: ours, the runtime alone, Docker; so all see the same machine."""
    before = load()
    ours, bare, docker, away = list[float](), list[float](), list[float](), list[float]()
    container = docker_argv()
    async with ground() as made:
        kept = await made.cold()
        with bare_runc(made.config(kept)) as runc:
            for turn in range(4 * bench.repetitions):
                began = time.perf_counter()
                handle = await made.cold()
                ours.append((time.perf_counter() - began) * 1000)
                bare.append(await milliseconds(finish(runc.argv("/bin/true"))))
                away.append(await milliseconds(made.driver.destroy(handle)))
                if container and turn < bench.repetitions:
                    docker.append(await milliseconds(finish(container)))
    peers = {_BARE: bare, "docker run": docker}
    yield bench.figure(
        "create to the first command's answer",
        "ms",
        ours,
        Bar(limit=80),
        Bar(limit=2.5, against=_BARE),
        peers=peers,
        load=before,
        note="" if docker else "no Docker daemon with an image here",
    )
    yield bench.figure("destroy", "ms", away, load=before)


async def burst(bench: Bench) -> AsyncIterator[Figure]:
    """A hundred at once, then a hundred of the runtime alone."""
    before = load()
    whole, each, bare_whole, bare_each, away = (list[float]() for _ in range(5))
    async with ground() as made:
        kept = await made.cold()
        with bare_runc(made.config(kept)) as runc:
            for _ in range(max(bench.repetitions // 2, 1)):
                handles = list[Handle]()
                whole.append(await _at_once(partial(_one, made, handles), each))
                away.append(await milliseconds(asyncio.gather(*map(made.driver.destroy, handles))))
                bare_whole.append(await _at_once(partial(_bare, runc), bare_each))
    yield bench.figure(
        f"each of {_BURST} creates at once to its first answer; all succeeded",
        "s",
        each,
        Bar(limit=4, of="p99"),
        peers={_BARE: bare_each},
        load=before,
    )
    yield bench.figure(f"all {_BURST}", "s", whole, peers={_BARE: bare_whole}, load=before)
    yield bench.figure(f"destroy all {_BURST}", "ms", away, load=before)


async def _at_once(make: Callable[[], Awaitable[None]], each: list[float]) -> float:
    began = time.perf_counter()

    async def timed() -> None:
        await make()
        each.append(time.perf_counter() - began)

    await asyncio.gather(*(timed() for _ in range(_BURST)))
    return time.perf_counter() - began


async def _one(made: Ground, handles: list[Handle]) -> None:
    handles.append(await made.cold())


async def _bare(runc: BareRunc) -> None:
    await finish(runc.argv("/bin/true"))


ROWS = (
    Row(name="cold", about="a sandbox from cold, and its end", measure=cold, sandboxes=True),
    Row(name="burst", about=f"{_BURST} sandboxes at once", measure=burst, sandboxes=True),
)
