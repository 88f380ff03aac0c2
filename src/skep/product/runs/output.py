"""From a command's output to a log's frames, and from frames to the text that is shown."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import replace

from skep.product.blobs.model import LogId
from skep.product.blobs.ports import LogStore
from skep.product.runs.model import RunOutput
from skep.product.sandboxes.model import OutputChunk, Stream

#: Pieces that are there at the same moment become one frame, up to this size.
_MERGED = 1 << 16
#: What the server keeps beyond the limit that the supervisor is told: room for its note.
SLACK = 1 << 20


async def merged(chunks: AsyncIterator[OutputChunk]) -> AsyncGenerator[OutputChunk]:
    """Yield the same output in fewer pieces: neighbours of one stream that are there already are joined."""
    coming = asyncio.ensure_future(_next(chunks))
    held: OutputChunk | None = None
    try:
        while True:
            await asyncio.sleep(0)  # lets the source put what it has already
            if held is not None and not coming.done():
                yield held
                held = None
            chunk = await coming
            if chunk is None:
                break
            coming = asyncio.ensure_future(_next(chunks))
            if held is None:
                held = chunk
            elif held.stream is chunk.stream and len(held.data) + len(chunk.data) <= _MERGED:
                held = replace(held, data=held.data + chunk.data, next_offset=chunk.next_offset)
            else:
                yield held
                held = chunk
        if held is not None:
            yield held
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await coming
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


async def copy_output(chunks: AsyncIterator[OutputChunk], logs: LogStore, log_id: LogId, *, limit: int) -> bool:
    """Append *chunks* to the log, at most *limit* bytes in it altogether; return whether something was left out."""
    left = limit - await _kept(logs, log_id)
    if left <= 0:
        return True
    async for chunk in chunks:
        if not chunk.data:
            continue
        data = chunk.data[:left]
        await logs.append(log_id, chunk.stream.value, chunk.at_ms, data, chunk.next_offset)
        left -= len(data)
        if len(data) < len(chunk.data):
            note = f"\n[skep: output beyond {limit} bytes was left out]\n".encode()
            await logs.append(log_id, Stream.SYSTEM.value, chunk.at_ms, note, chunk.next_offset)
            return True
    return False


async def shown(logs: LogStore, log_id: LogId, *, truncated: bool) -> RunOutput:
    """Return what a log holds, split by stream; Skep's own words are left out."""
    parts: dict[str, list[bytes]] = {Stream.STDOUT.value: [], Stream.STDERR.value: []}
    offset = 0
    while frames := await logs.read(log_id, offset):
        for frame in frames:
            if frame.stream in parts:
                parts[frame.stream].append(frame.data)
        offset = frames[-1].next_offset
    texts = {stream: b"".join(pieces).decode("utf-8", "replace") for stream, pieces in parts.items()}
    return RunOutput(stdout=texts["stdout"], stderr=texts["stderr"], truncated=truncated)


async def _next(chunks: AsyncIterator[OutputChunk]) -> OutputChunk | None:
    return await anext(chunks, None)


async def _kept(logs: LogStore, log_id: LogId) -> int:
    total = offset = 0
    while frames := await logs.read(log_id, offset):
        total += sum(len(frame.data) for frame in frames if frame.stream != Stream.SYSTEM.value)
        offset = frames[-1].next_offset
    return total
