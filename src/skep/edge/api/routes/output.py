"""/runs/{id}/events, log, artifacts: what a run tells and leaves behind."""

import re
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Request, Response
from starlette.responses import StreamingResponse

from skep.edge.api import logs, render
from skep.edge.api.auth import Reader
from skep.edge.api.query import Cursor, Limit, not_our_cursor
from skep.edge.api.routing import OpenStreams, Uses, native
from skep.edge.api.services import Services
from skep.edge.api.sse import Event, resume_attempt, resume_from, wants_stream
from skep.edge.wire.common import Listing, LogPiece
from skep.edge.wire.runs import ArtifactView, EventView
from skep.kernel.errors import InvalidError
from skep.kernel.paging import MAX_LIMIT
from skep.product.access.model import Principal
from skep.product.runs.model import RunEvent, RunId

router = native("runs")

Offset = Annotated[int, Query(ge=0, lt=1 << 62)]
_CURSOR = re.compile(r"[0-9]{1,18}")


@router.get(
    "/runs/{run}/events",
    response_model=None,
    responses={200: {"model": Listing[EventView], "content": {"text/event-stream": {}}}},
)
async def run_events(
    request: Request,
    caller: Reader,
    uses: Uses,
    streams: OpenStreams,
    run: str,
    after: Offset = 0,
    limit: Limit = MAX_LIMIT,
    cursor: Cursor = None,
    follow: bool = False,
) -> Response:
    """List a run's events after the event *after*, or follow them until the run is over."""
    run_id = RunId(run)
    await uses.runs.get(caller, run_id)
    start = resume_from(request, after if cursor is None else _after(cursor, after))
    if wants_stream(request, follow=follow):
        events = _as_events(uses.runs.follow_events(caller, run_id, start))
        return streams.respond(events, lambda: _end(uses, caller, run_id))
    page = render.listing(await uses.runs.events(caller, run_id, start, limit), render.event)
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/runs/{run}/log",
    response_model=None,
    responses={200: {"model": Listing[LogPiece], "content": {"text/plain": {}, "text/event-stream": {}}}},
)
async def run_log(
    request: Request,
    caller: Reader,
    uses: Uses,
    streams: OpenStreams,
    run: str,
    offset: Offset = 0,
    attempt: Annotated[int | None, Query(ge=1, le=999_999, description="Left out means the latest.")] = None,
    follow: bool = False,
) -> Response:
    """Read a run's log from *offset* on: JSON, text/plain, or events that go on until the run is over."""
    run_id = RunId(run)
    found = await uses.runs.get(caller, run_id)
    asked, start = resume_attempt(request, attempt, offset)
    number = asked or max(1, found.attempts)
    if wants_stream(request, follow=follow):
        events = _log_events(uses, caller, run_id, number, start)
        return streams.respond(events, lambda: _end(uses, caller, run_id))
    return await logs.answer(request, lambda where: uses.runs.log(caller, run_id, where, attempt=number), start, number)


@router.get("/runs/{run}/artifacts")
async def list_artifacts(caller: Reader, uses: Uses, run: str) -> Listing[ArtifactView]:
    """List the files that a run left in `$SKEP_ARTIFACTS`."""
    return Listing(items=[render.artifact(found) for found in await uses.runs.artifacts(caller, RunId(run))])


@router.get(
    "/runs/{run}/artifacts/{path:path}",
    response_model=None,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def get_artifact(caller: Reader, uses: Uses, run: str, path: str) -> Response:
    """Download a file that a run left: untrusted content, so always as an attachment."""
    artifact, data = await uses.runs.open_artifact(caller, RunId(run), path)
    name = artifact.path.rpartition("/")[2]
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Content-Length": str(artifact.size),
        "ETag": f'"{artifact.sha256}"',
    }
    return StreamingResponse(data, headers=headers, media_type="application/octet-stream")


def _after(cursor: str, after: int) -> int:
    """Return the number that *cursor* stands for."""
    if after:
        raise InvalidError("Both a cursor and `after` were given.", fields={"cursor": "give one of both"})
    if _CURSOR.fullmatch(cursor) is None:
        raise not_our_cursor()
    return int(cursor)


async def _as_events(events: AsyncIterator[RunEvent]) -> AsyncIterator[Event]:
    async for event in events:
        yield Event(id=str(event.seq), data=render.event(event).model_dump_json())


async def _log_events(
    uses: Services, caller: Principal, run_id: RunId, attempt: int, offset: int
) -> AsyncIterator[Event]:
    """Follow the log of one attempt after the other, until the run is over."""
    while True:
        async for event in logs.events(uses.runs.follow_log(caller, run_id, offset, attempt=attempt), attempt):
            yield event
        run = await uses.runs.get(caller, run_id)
        if run.status.final and run.attempts <= attempt:
            return
        attempt, offset = attempt + 1, 0


async def _end(uses: Services, caller: Principal, run_id: RunId) -> Event:
    ended = render.run(await uses.runs.get(caller, run_id))
    return Event(name="end", data=ended.model_dump_json(include={"id", "status", "exit_code", "error"}))
