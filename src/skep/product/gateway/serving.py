"""What the door answers itself, on the wire: which site a request is for, and its answer, framed.

A site's request has no body, so the next one on its connection begins where it ended.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing

from skep.product.gateway import head as heads
from skep.product.gateway.ports import Site
from skep.product.gateway.site import Answer, Asked, failure

Sites = Mapping[str, Site]

_METHODS = (b"GET", b"HEAD")
#: What is given to a connection at once, in bytes.
_PIECE = 128 * 1024


async def answer(head: heads.RequestHead, path: bytes, sites: Sites, door: str) -> Answer:
    """Return what the site named by the first segment of *path* answers; *door* is the address of them all."""
    segment, _, rest = path.removeprefix(b"/").partition(b"/")
    name = segment.decode("ascii")
    site = sites.get(name)
    if site is None:
        there = ", ".join(f"/{name}/" for name in sorted(sites)) or "nothing"
        return failure(404, f"/{name[:80]} is nothing that this door answers; there is {there}")
    if head.method not in _METHODS:
        return failure(405, f"/{name}/ takes GET and HEAD, nothing can be put there")
    framing = heads.request_framing(head)
    if framing.chunked or framing.length:
        return failure(400, f"/{name}/ takes no body")
    accept = (head.get(b"accept") or b"").decode("latin-1")
    return await site.answer(
        Asked(method=head.method.decode("ascii"), path=rest.decode("ascii"), door=door, accept=accept)
    )


def goes_on(head: heads.RequestHead, given: Answer) -> bool:
    """Tell whether another request may follow on the connection."""
    wanted = (head.get(b"connection") or b"").lower()
    # What followed a request that was not understood could be its body.
    return head.version == b"HTTP/1.1" and b"close" not in wanted and given.status not in (400, 405)


async def give(
    given: Answer,
    head: heads.RequestHead,
    writer: asyncio.StreamWriter,
    count: Callable[[int], None],
    idle_s: float,
) -> None:
    """Send *given*; the connection is to be cut when this raises.

    Raises:
        BrokenOffError: the site cannot bring it to its end.
        TimeoutError: nothing moved for *idle_s*.
        LimitPassedError: the budget is used up.
    """
    body = given.body
    length = len(body) if isinstance(body, bytes) else given.length
    chunked = length is None and head.version == b"HTTP/1.1"
    writer.write(_head(given, length, chunked=chunked, close=not goes_on(head, given)))
    if isinstance(body, bytes):
        for start in range(0, len(body) if head.method != b"HEAD" else 0, _PIECE):
            # All at once it would be copied for each client that asks and does not read.
            piece = body[start : start + _PIECE]
            count(len(piece))
            writer.write(piece)
            await _drain(writer, idle_s)
        await _drain(writer, idle_s)
        return
    async with aclosing(body):
        if head.method == b"HEAD":
            await _drain(writer, idle_s)
            return
        while True:
            async with asyncio.timeout(idle_s):
                data = await anext(body, None)
            if data is None:
                break
            count(len(data))
            if data:
                writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            await _drain(writer, idle_s)
        writer.write(b"0\r\n\r\n" if chunked else b"")
        await _drain(writer, idle_s)


def _head(given: Answer, length: int | None, *, chunked: bool, close: bool) -> bytes:
    lines = [given.status_line, *(f"{name}: {value}".encode("ascii") for name, value in given.headers.items())]
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    elif chunked:
        lines.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join([*lines, b"Connection: close" if close else b"Connection: keep-alive", b"", b""])


async def _drain(writer: asyncio.StreamWriter, idle_s: float) -> None:
    async with asyncio.timeout(idle_s):
        await writer.drain()
