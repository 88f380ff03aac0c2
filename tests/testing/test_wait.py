"""Waiting ends as soon as the condition holds, and says what it waited for when it never does."""

import asyncio

import pytest

from skep.testing.wait import until, until_sync


async def test_it_waits_for_functions_and_coroutines():
    """Both kinds of condition are asked until they are true."""
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, event.set)

    async def settled():
        return event.is_set()

    await until(settled)
    await until(event.is_set)


async def test_it_gives_up_with_words():
    """A condition that never holds is an assertion that failed, in both forms."""
    with pytest.raises(AssertionError, match=r"0\.02 s in vain for snow"):
        await until(lambda: False, 0.02, what="snow")
    with pytest.raises(AssertionError, match="in vain for rain"):
        until_sync(lambda: False, 0.02, what="rain")


def test_a_true_condition_costs_nothing():
    """What holds already is asked once."""
    asked = []

    until_sync(lambda: asked.append(1) or True)

    assert asked == [1]
