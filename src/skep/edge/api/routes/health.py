"""What is asked at the root: health, figures, documentation."""

import asyncio
import json
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from skep.edge.api.auth import Scraper
from skep.edge.api.metrics import CONTENT_TYPE, Metrics
from skep.edge.api.openapi import page, root_page
from skep.edge.api.requests import CheckedRoute
from skep.edge.api.routing import PREFIX, Uses
from skep.edge.wire.system import Health, Ready, Root
from skep.kernel.errors import NotFoundError, SkepError
from skep.product.access.service import require_everywhere
from skep.product.sandboxes.doctor import Level

router = APIRouter(route_class=CheckedRoute, include_in_schema=False)

#: Where to go on from the root.
PLACES: Mapping[str, str] = {
    "documentation": "/docs",
    "openapi": f"{PREFIX}/openapi.json",
    "health": "/healthz",
}
_READY_TIMEOUT_S = 5
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


@router.get("/")
async def root(request: Request) -> Response:
    """Say where to go on: as a page where one is asked for, else as JSON."""
    if "text/html" in request.headers.get("accept", ""):
        headers = {"Content-Security-Policy": _PAGE_POLICY, "Vary": "Accept"}
        return Response(root_page(PLACES), headers=headers, media_type="text/html; charset=utf-8")
    body = Root(links=dict(PLACES))
    return Response(body.model_dump_json(), headers={"Vary": "Accept"}, media_type="application/json")


@router.get("/healthz")
@router.get("/health")
async def health() -> Health:
    """Say that the process answers."""
    return Health(data={"status": "ok"})


@router.get("/ping")
async def ping() -> dict[str, str]:
    """Say pong."""
    return {"ping": "pong"}


@router.get("/readyz")
async def ready(uses: Uses) -> Response:
    """Say whether every part answers that work needs; tells no more than their names to those without a token."""
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            found = await uses.doctor.ready()
        checks = {item.area: "ok" if item.level is not Level.ERROR else "unavailable" for item in found}
    except (SkepError, TimeoutError):
        checks = {"server": "unavailable"}
    fine = all(state == "ok" for state in checks.values())
    body = Ready(status="ok" if fine else "unavailable", checks=checks)
    return Response(body.model_dump_json(), 200 if fine else 503, media_type="application/json")


@router.get("/metrics")
async def metrics(request: Request, caller: Scraper, uses: Uses) -> Response:
    """Show the figures of the installation in Prometheus' words; needs a token that belongs to no project."""
    require_everywhere(caller)
    shown: Metrics = request.app.state.metrics
    if uses.figures is not None:
        shown.show(await uses.figures())
    return Response(shown.text(), media_type=CONTENT_TYPE)


@router.get(f"{PREFIX}/openapi.json")
async def openapi(request: Request) -> dict[str, object]:
    """Describe the API (OpenAPI 3.1)."""
    described: dict[str, object] = request.app.openapi()
    return described


@router.get(f"{PREFIX}/schemas/{{name}}")
async def schema(uses: Uses, name: str) -> Response:
    """Hand out the JSON Schema of a file that users write, for editors: `skep-yaml.json`."""
    found = uses.schemas.get(name)
    if found is None:
        raise NotFoundError("There is no such schema.", code="schema_not_found", hint="There is skep-yaml.json.")
    return Response(json.dumps(found), media_type="application/schema+json")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Show the API to a person."""
    headers = {"Content-Security-Policy": _PAGE_POLICY}
    return Response(page(request.app.openapi()), headers=headers, media_type="text/html; charset=utf-8")
