"""Passing bytes on: with back-pressure, counted, and never for ever."""

import asyncio
from collections.abc import Callable

from skep.product.gateway.head import BadHeadError, Framing

_PIECE = 64 * 1024
_MAX_CHUNK_LINE = 256
_MAX_TRAILER = 8 * 1024

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LimitPassedError(Exception):
    """The byte limit of the door is used up."""


class Budget:
    """Counts bytes both ways, for itself and for what it is a part of."""

    def __init__(self, limit_up: int | None, limit_down: int | None, whole: "Budget | None" = None) -> None:
        self.up = 0
        self.down = 0
        self._limit_up = limit_up
        self._limit_down = limit_down
        self._whole = whole

    def part(self) -> "Budget":
        """Return a budget of its own count that also counts here."""
        return Budget(None, None, self)

    def count_up(self, number: int) -> None:
        """Count bytes that leave the sandbox; `LimitPassedError` beyond the limit."""
        self.up += number
        self._check(self.up, self._limit_up)
        if self._whole is not None:
            self._whole.count_up(number)

    def count_down(self, number: int) -> None:
        """Count bytes that enter the sandbox; `LimitPassedError` beyond the limit."""
        self.down += number
        self._check(self.down, self._limit_down)
        if self._whole is not None:
            self._whole.count_down(number)

    @staticmethod
    def _check(number: int, limit: int | None) -> None:
        if limit is not None and number > limit:
            raise LimitPassedError(f"more than {limit} bytes")


async def tunnel(client: Pair, upstream: Pair, budget: Budget, idle_s: float) -> None:
    """Copy both ways until both sides have ended, or nothing has moved for *idle_s*.

    Raises:
        TimeoutError: nothing moved.
        LimitPassedError: the budget is used up.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(idle_s) as deadline:

        def moved(count: Callable[[int], None]) -> Callable[[int], None]:
            def count_and_extend(number: int) -> None:
                count(number)
                deadline.reschedule(loop.time() + idle_s)

            return count_and_extend

        tasks = [
            asyncio.create_task(_copy_to_end(client[0], upstream[1], moved(budget.count_up))),
            asyncio.create_task(_copy_to_end(upstream[0], client[1], moved(budget.count_down))),
        ]
        try:
            # `gather` raises the first error; half-closed tunnels go on in the other direction.
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def copy_body(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    framing: Framing,
    count: Callable[[int], None],
    idle_s: float,
) -> None:
    """Copy exactly one body, as *framing* says.

    Raises:
        EOFError: the sender ended before the body did.
        TimeoutError: nothing moved for *idle_s*.
        BadHeadError: the chunks are not well formed.
        LimitPassedError: the budget is used up.
    """
    if framing.chunked:
        await _copy_chunks(reader, writer, count, idle_s)
    else:
        await _copy(reader, writer, framing.length, count, idle_s)
    await writer.drain()


async def _copy_to_end(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None]
) -> None:
    while data := await reader.read(_PIECE):
        count(len(data))
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    length: int | None,
    count: Callable[[int], None],
    idle_s: float,
) -> None:
    left = length
    while left is None or left > 0:
        async with asyncio.timeout(idle_s):
            data = await reader.read(_PIECE if left is None else min(_PIECE, left))
            if not data:
                if left is None:
                    return
                raise EOFError("the body ended early")
            count(len(data))
            writer.write(data)
            await writer.drain()
        left = None if left is None else left - len(data)


async def _copy_chunks(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None], idle_s: float
) -> None:
    while True:
        async with asyncio.timeout(idle_s):
            line = await reader.readuntil(b"\r\n")
        size = _chunk_size(line)
        # Extensions are dropped: nothing uses them but attacks.
        writer.write(f"{size:x}\r\n".encode("ascii"))
        count(len(line))
        if size == 0:
            break
        await _copy(reader, writer, size, count, idle_s)
        async with asyncio.timeout(idle_s):
            if await reader.readexactly(2) != b"\r\n":
                raise BadHeadError("A chunk is longer than it says.")
        writer.write(b"\r\n")
    await _drop_trailer(reader, idle_s)
    writer.write(b"\r\n")


def _chunk_size(line: bytes) -> int:
    digits = line.removesuffix(b"\r\n").partition(b";")[0].rstrip(b" \t")
    if len(line) > _MAX_CHUNK_LINE or not 0 < len(digits) <= 15 or not set(digits) <= set(b"0123456789abcdefABCDEF"):
        raise BadHeadError("A chunk's size is not a number.")
    return int(digits, 16)


async def _drop_trailer(reader: asyncio.StreamReader, idle_s: float) -> None:
    seen = 0
    while True:
        async with asyncio.timeout(idle_s):
            line = await reader.readuntil(b"\r\n")
        if line == b"\r\n":
            return
        seen += len(line)
        if seen > _MAX_TRAILER:
            raise BadHeadError("The trailer is too long.")
