"""/agents: named things that can be called."""

from typing import Annotated

from fastapi import Body, Response

from skep.edge.api import parse, render
from skep.edge.api.auth import Operator, Reader
from skep.edge.api.idempotency import Creating
from skep.edge.api.query import Owner, paging
from skep.edge.api.routing import Uses, native
from skep.edge.wire.agents import AgentView, BuildAgent, ChangeAgent, CreateAgent, VersionView
from skep.edge.wire.builds import BuildView
from skep.edge.wire.common import Listing
from skep.kernel.paging import PageQuery
from skep.product.agents.model import AgentStatus
from skep.product.images.model import BuildStatus

router = native("agents")


@router.get("/agents")
async def list_agents(
    caller: Reader, uses: Uses, query: Annotated[PageQuery, paging(AgentStatus)], owner: Owner = None
) -> Listing[AgentView]:
    """List the agents of the project, or of one owner, newest first."""
    return render.listing(await uses.agents.all(caller, query, owner=owner), render.agent)


@router.post("/agents", status_code=201, response_model=AgentView)
async def create_agent(caller: Operator, uses: Uses, once: Creating, body: CreateAgent) -> Response:
    """Make an agent; building it is a request of its own."""
    wanted = parse.new_agent(body)
    return await once.answer(201, lambda also: uses.agents.create(caller, wanted, also=also), render.agent)


@router.get("/agents/{agent}")
async def get_agent(caller: Reader, uses: Uses, agent: str) -> AgentView:
    """Show an agent, by id or name."""
    return render.agent(await uses.agents.get(caller, agent))


@router.patch("/agents/{agent}")
async def change_agent(caller: Operator, uses: Uses, agent: str, body: ChangeAgent) -> AgentView:
    """Change what is sent; a change of configuration makes a new version."""
    return render.agent(await uses.agents.change(caller, agent, parse.change(body)))


@router.delete("/agents/{agent}", status_code=204)
async def remove_agent(caller: Operator, uses: Uses, agent: str) -> Response:
    """Remove an agent; its runs are kept."""
    await uses.agents.remove(caller, agent)
    return Response(status_code=204)


@router.post("/agents/{agent}/build", status_code=202, response_model=BuildView)
async def build_agent(
    caller: Operator, uses: Uses, once: Creating, agent: str, body: Annotated[BuildAgent | None, Body()] = None
) -> Response:
    """Begin a build of the agent's source, or of the one that is sent."""
    asked = body or BuildAgent()
    source = None if asked.source is None else parse.source(asked.source)
    return await once.answer(
        202,
        lambda also: uses.agents.build(caller, agent, source=source, upgrade=asked.upgrade, also=also),
        render.build,
    )


@router.get("/agents/{agent}/builds")
async def list_agent_builds(
    caller: Reader, uses: Uses, agent: str, query: Annotated[PageQuery, paging(BuildStatus)]
) -> Listing[BuildView]:
    """List the builds of an agent, newest first."""
    return render.listing(await uses.agents.builds(caller, agent, query), render.build)


@router.get("/agents/{agent}/versions")
async def list_agent_versions(
    caller: Reader, uses: Uses, agent: str, query: Annotated[PageQuery, paging()]
) -> Listing[VersionView]:
    """List the versions of an agent, newest first."""
    return render.listing(await uses.agents.versions(caller, agent, query), render.version)
