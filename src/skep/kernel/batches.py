"""Long work in short steps, so that nothing else has to wait for the whole of it."""

from collections.abc import Awaitable, Callable


async def in_batches(batch: Callable[[], Awaitable[int]], *, size: int, most: int = 100) -> int:
    """Repeat *batch*, which does up to *size* things and says how many, until it finds fewer; at most *most* times.

    Returns:
        How many things were done in all; what is left is for the next time.
    """
    total = 0
    for _ in range(most):
        done = await batch()
        total += done
        if done < size:
            break
    return total
