"""/uploads and /builds: how an agent's code becomes something that can run."""

from typing import Annotated, Any

from fastapi import Query, Request, Response

from skep.edge.api import logs, parse, render
from skep.edge.api.auth import Operator, Reader
from skep.edge.api.idempotency import Creating
from skep.edge.api.query import paging
from skep.edge.api.routing import OpenStreams, Uses, native
from skep.edge.api.sse import Event, resume_from, wants_stream
from skep.edge.wire.builds import BuildView, ExplainBuild, UploadView
from skep.edge.wire.common import Listing, LogPiece
from skep.kernel.paging import PageQuery
from skep.product.images.model import BuildId, BuildStatus

router = native("builds")

UPLOADS = "/uploads"
_ARCHIVE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("application/gzip", "application/x-tar")
        },
    }
}
_LOG_FORMS: dict[int | str, dict[str, Any]] = {
    200: {"model": Listing[LogPiece], "content": {"text/plain": {}, "text/event-stream": {}}},
}


@router.post(UPLOADS, status_code=201, response_model=UploadView, openapi_extra=_ARCHIVE)
async def upload(caller: Operator, uses: Uses, once: Creating) -> Response:
    """Upload a packed folder (tar, or tar and gzip); the body is the archive itself."""
    return await once.answer_large(201, lambda data, also: uses.images.upload(caller, data, also=also), render.upload)


@router.get("/builds")
async def list_builds(
    caller: Reader, uses: Uses, query: Annotated[PageQuery, paging(BuildStatus)]
) -> Listing[BuildView]:
    """List the builds of the project, newest first."""
    return render.listing(await uses.images.builds(caller, None, query), render.build)


@router.post("/builds", status_code=202, response_model=BuildView)
async def explain_build(caller: Operator, uses: Uses, once: Creating, body: ExplainBuild) -> Response:
    """Begin to find out what a build of a source would do; nothing is built, and there is no agent."""
    source, command = parse.source(body.source), tuple(body.command)
    return await once.answer(202, lambda also: uses.images.explain(caller, source, command, also=also), render.build)


@router.get("/builds/{build}")
async def get_build(caller: Reader, uses: Uses, build: str) -> BuildView:
    """Show a build."""
    return render.build(await uses.images.build(caller, BuildId(build)))


@router.get("/builds/{build}/log", response_model=None, responses=_LOG_FORMS)
async def build_log(
    request: Request,
    caller: Reader,
    uses: Uses,
    streams: OpenStreams,
    build: str,
    offset: Annotated[int, Query(ge=0, lt=1 << 62)] = 0,
    follow: bool = False,
) -> Response:
    """Read a build's log from *offset* on: JSON, text/plain, or events that go on until the build is over."""
    build_id = BuildId(build)
    await uses.images.build(caller, build_id)
    start = resume_from(request, offset)

    async def last() -> Event:
        ended = await uses.images.build(caller, build_id)
        return Event(name="end", data=render.build(ended).model_dump_json(include={"id", "status", "error"}))

    if wants_stream(request, follow=follow):
        return streams.respond(logs.events(uses.images.follow_log(caller, build_id, start)), last)
    return await logs.answer(request, lambda where: uses.images.log(caller, build_id, where), start)


@router.post("/builds/{build}/cancel", status_code=202)
async def cancel_build(caller: Operator, uses: Uses, build: str) -> BuildView:
    """Ask for a build's end."""
    return render.build(await uses.images.cancel(caller, BuildId(build)))
