"""What every routes file starts from."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from skep.edge.api.requests import CheckedRoute
from skep.edge.api.services import Services, services_of
from skep.edge.api.sse import Streams

PREFIX = "/api/v1"

#: The services that a route calls.
Uses = Annotated[Services, Depends(services_of)]


def native(tag: str) -> APIRouter:
    """Return a router of the native API."""
    return APIRouter(prefix=PREFIX, tags=[tag], route_class=CheckedRoute)


def _streams(request: Request) -> Streams:
    streams: Streams = request.app.state.streams
    return streams


OpenStreams = Annotated[Streams, Depends(_streams)]
