"""Puts the API together."""

from fastapi import FastAPI
from fastapi.routing import APIRoute

from skep import __version__
from skep.edge.api import errors
from skep.edge.api.head import Head
from skep.edge.api.hearing import Hearing
from skep.edge.api.idempotency import InFlight
from skep.edge.api.metrics import Metrics
from skep.edge.api.middleware import BodyLimit, Edge
from skep.edge.api.openapi import Described, describe, operations
from skep.edge.api.routes import ROUTERS
from skep.edge.api.routes.builds import UPLOADS
from skep.edge.api.routes.health import router as health
from skep.edge.api.routes.hooks import HOOK_LIMIT, HOOK_PATIENCE_S, HOOKS, HOOKS_AT_ONCE
from skep.edge.api.routing import PREFIX
from skep.edge.api.services import Services, UploadLimits
from skep.edge.api.sse import Streams
from skep.kernel.clock import Clock, SystemClock
from skep.kernel.settings import MIB, Settings


def all_routes() -> list[APIRoute]:
    """Return every route of the native API and of the root."""
    return [route for router in (*ROUTERS, health) for route in router.routes if isinstance(route, APIRoute)]


class Api(FastAPI):
    """The application; its description is made once."""

    def openapi(self) -> Described:
        """Return the OpenAPI description."""
        if self.openapi_schema is None:
            self.openapi_schema = describe(self, operations(all_routes()))
        return self.openapi_schema


def bare_api() -> Api:
    """Return the application without anything behind it: enough to describe it."""
    api = Api(
        title="Skep",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        strict_content_type=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    for router in (*ROUTERS, health):
        api.include_router(router)
    errors.install(api)
    return api


def make_api(services: Services, settings: Settings, clock: Clock | None = None) -> Api:
    """Return the application that serves *services*.

    `api.state.streams.end_all()` ends the open event streams: call it before the server waits for its connections.
    """
    api = bare_api()
    api.state.services = services
    api.state.in_flight = InFlight()
    api.state.streams = Streams()
    api.state.hearing = Hearing(HOOKS_AT_ONCE, HOOK_PATIENCE_S)
    api.state.metrics = Metrics()
    api.state.limits = UploadLimits(packed_mb=settings.upload_limit_mb, unpacked_mb=settings.source_limit_mb)
    api.add_middleware(Head)
    # The last is the outermost: it notes HEAD as what it is.
    api.add_middleware(
        Edge,
        clock=clock or SystemClock(),
        metrics=api.state.metrics,
        body_limits={
            PREFIX + UPLOADS: BodyLimit(settings.upload_limit_mb * MIB, "SKEP_UPLOAD_LIMIT_MB"),
            HOOKS: BodyLimit(HOOK_LIMIT),
        },
    )
    return api
