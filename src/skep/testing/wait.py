"""Waiting for a condition without guessing how long it takes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

_FIRST_S = 0.001
_LONGEST_S = 0.05


async def until(
    condition: Callable[[], object] | Callable[[], Awaitable[object]],
    timeout_s: float = 10.0,
    *,
    what: str = "the condition",
) -> None:
    """Return as soon as *condition*, a function or a coroutine function, is true.

    Raises:
        AssertionError: it did not become true within *timeout_s*; says *what* was waited for.
    """
    deadline = time.monotonic() + timeout_s
    pause = _FIRST_S
    while True:
        result = condition()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain for {what}")
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_S)


def until_sync(condition: Callable[[], object], timeout_s: float = 10.0, *, what: str = "the condition") -> None:
    """Return as soon as *condition* is true, where there is no event loop.

    Raises:
        AssertionError: it did not become true within *timeout_s*; says *what* was waited for.
    """
    deadline = time.monotonic() + timeout_s
    pause = _FIRST_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_S)
