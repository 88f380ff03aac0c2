"""Which dialects a server speaks."""

from collections.abc import Mapping

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from skep.edge.api.openapi import Described, describe, operations
from skep.edge.dialects import launchpad


def routes() -> list[APIRoute]:
    """Return every route of every dialect."""
    return [route for route in launchpad.router.routes if isinstance(route, APIRoute)]


def speak(api: FastAPI) -> None:
    """Have *api*, which is whole, answer the dialects' paths too, errors included."""
    # A dialect is described apart: its errors have another shape.
    api.include_router(launchpad.router, include_in_schema=False)
    # The outermost of all, so that no error of its paths leaves in other words.
    api.add_middleware(launchpad.Faults)


def worded(app: ASGIApp) -> ASGIApp:
    """Return *app* with the errors of each dialect's paths in its own words."""
    return launchpad.Faults(app)


def descriptions() -> Mapping[str, Described]:
    """Return the OpenAPI description of each dialect, by its name."""
    app = FastAPI(title="Skep, spoken to as Agent Launchpad", generate_unique_id_function=lambda route: route.name)
    app.include_router(launchpad.router)
    summary = "Agent Launchpad's routes over the services of Skep."
    return {"launchpad": describe(app, operations(routes()), launchpad.ERRORS, summary)}
