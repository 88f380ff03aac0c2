"""Server-sent events: one writer for events and logs, with heartbeats, resuming, and an end that is said."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from skep.kernel.errors import InvalidError, LimitError, SkepError

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
MOST_STREAMS = 1000
_NUMBER = re.compile(r"[0-9]{1,18}")
_OF_ATTEMPT = re.compile(r"(?:(?P<attempt>[1-9][0-9]{0,5})-)?(?P<offset>[0-9]{1,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event on the wire; `data` is one line of JSON."""

    data: str
    id: str = ""
    name: str = ""

    def encode(self) -> bytes:
        """Return the event's lines (WHATWG HTML, section 9.2.6)."""
        head = (f"id: {self.id}\n" if self.id else "") + (f"event: {self.name}\n" if self.name else "")
        return f"{head}data: {self.data}\n\n".encode()


class Streams:
    """The streams that are open; they can be ended together, so that a stopping server need not wait for them."""

    def __init__(self, heartbeat_s: float = HEARTBEAT_S, most: int = MOST_STREAMS) -> None:
        self._heartbeat_s = heartbeat_s
        self._most = most
        self._open = 0
        self._ended = asyncio.Event()

    @property
    def open(self) -> int:
        """How many are open."""
        return self._open

    def end_all(self) -> None:
        """End every stream after what it has said; its reader resumes later from its Last-Event-ID."""
        self._ended.set()

    async def ending(self) -> None:
        """Wait until they are ended."""
        await self._ended.wait()

    def respond(self, events: AsyncIterator[Event], last: Callable[[], Awaitable[Event]]) -> Response:
        """Answer with *events*, heartbeats between them, and *last* when they are over."""
        if self._open >= self._most:
            raise LimitError("Too many streams are open.", hint="Close some, or ask without follow.", retry_after_s=5)
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._lines(events, last), headers=headers, media_type="text/event-stream")

    async def _lines(self, events: AsyncIterator[Event], last: Callable[[], Awaitable[Event]]) -> AsyncIterator[bytes]:
        self._open += 1
        stopping = asyncio.ensure_future(self._ended.wait())
        coming: asyncio.Future[Event | None] | None = None
        try:
            yield b": ok\n\n"
            while True:
                coming = coming or asyncio.ensure_future(_next(events))
                await asyncio.wait((coming, stopping), timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    event = coming.result()
                    if event is None:
                        break
                    yield event.encode()
                    coming = None
                elif stopping.done():
                    return
                else:
                    yield b": still here\n\n"
            yield (await last()).encode()
        except SkepError as error:
            # The head is sent already. A stream without its end tells the reader to come again.
            log.warning("a stream was cut off: %s", error, extra={"code": error.code})
        finally:
            self._open -= 1
            await _cancel(stopping, coming)
            if isinstance(events, AsyncGenerator):
                await events.aclose()


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)


async def _cancel(*tasks: asyncio.Future[Any] | None) -> None:
    for task in tasks:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def wants_stream(request: Request, *, follow: bool) -> bool:
    """Tell whether the caller asked for events: by `Accept` or by `follow=true`."""
    return follow or "text/event-stream" in request.headers.get("accept", "")


def resume_from(request: Request, given: int) -> int:
    """Return where to go on: the number in the header Last-Event-ID, else what the argument says."""
    last = request.headers.get("last-event-id") or str(given)
    if _NUMBER.fullmatch(last) is None:
        raise _not_ours()
    return int(last)


def resume_attempt(request: Request, attempt: int | None, offset: int) -> tuple[int | None, int]:
    """Return the attempt (None: the latest) and the offset to go on at; the id of a run's log is `ATTEMPT-OFFSET`."""
    last = request.headers.get("last-event-id") or ""
    if last == "":
        return attempt, offset
    found = _OF_ATTEMPT.fullmatch(last)
    if found is None:
        raise _not_ours()
    return int(found["attempt"]) if found["attempt"] else attempt, int(found["offset"])


def _not_ours() -> InvalidError:
    return InvalidError("The Last-Event-ID is not one of ours.", fields={"Last-Event-ID": "the id of an event"})
