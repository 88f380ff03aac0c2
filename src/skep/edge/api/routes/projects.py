"""/projects: what every thing belongs to."""

from typing import Annotated

from fastapi import Response

from skep.edge.api import render
from skep.edge.api.auth import Admin, Reader
from skep.edge.api.idempotency import Creating
from skep.edge.api.query import paging
from skep.edge.api.routing import Uses, native
from skep.edge.wire.access import CreateProject, ProjectView
from skep.edge.wire.common import Listing
from skep.kernel.paging import PageQuery

router = native("access")


@router.get("/projects")
async def list_projects(caller: Reader, uses: Uses, query: Annotated[PageQuery, paging()]) -> Listing[ProjectView]:
    """List the projects that the token is good for."""
    return render.listing(await uses.access.projects(caller, query), render.project)


@router.post("/projects", status_code=201, response_model=ProjectView)
async def create_project(caller: Admin, uses: Uses, once: Creating, body: CreateProject) -> Response:
    """Add a project; needs a token that is good for every project."""
    return await once.answer(201, lambda also: uses.access.create_project(caller, body.name, also=also), render.project)
