"""Launchpad's routes: each calls a service and says its answer in Launchpad's words."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request, Response

from skep.edge.api.auth import Invoker, Operator, Reader
from skep.edge.api.idempotency import Creating
from skep.edge.api.requests import CheckedRoute
from skep.edge.api.routing import OpenStreams, Uses
from skep.edge.api.services import Services
from skep.edge.dialects.launchpad import shapes, words
from skep.edge.dialects.launchpad.waiting import until_built
from skep.kernel.errors import NotFoundError
from skep.kernel.paging import MAX_LIMIT, PageQuery
from skep.product.access.model import Principal
from skep.product.agents import owned
from skep.product.agents.model import AgentView
from skep.product.images.model import GitSource
from skep.product.runs.model import QuestionId, Run, RunId

router = APIRouter(prefix="/api", tags=["launchpad"], route_class=CheckedRoute)

User = Annotated[shapes.User, Path()]
_NEWEST = 50


# ---- agents


@router.put("/agent/create")
async def put_agent(caller: Operator, uses: Uses, body: shapes.PutAgent) -> shapes.Put:
    """Make the user's agent of this name, or bring it to what is sent, and begin to build what is new."""
    return words.put(await owned.put(uses.agents, caller, words.new_agent(body)))


@router.get("/agents/list/{user}")
async def list_agents(caller: Reader, uses: Uses, user: User) -> list[shapes.Agent]:
    """List the user's agents, newest first."""
    found = await uses.agents.all(caller, PageQuery(limit=MAX_LIMIT), owner=user)
    return [words.agent(view) for view in found.items]


@router.get("/agent/{agent}")
async def get_agent(caller: Reader, uses: Uses, agent: str) -> shapes.Agent:
    """Show an agent."""
    return words.agent(await uses.agents.get(caller, agent))


@router.get("/agent/{agent}/input")
async def get_input_keys(caller: Reader, uses: Uses, agent: str) -> shapes.InputKeys:
    """Name the inputs that an agent takes."""
    return words.input_keys(await uses.agents.get(caller, agent))


# ---- images


@router.post("/agent/{agent}/image/create")
async def create_image(
    request: Request,
    caller: Operator,
    uses: Uses,
    streams: OpenStreams,
    agent: str,
    body: Annotated[shapes.CreateImage | None, Body()] = None,
) -> shapes.ImageState:
    """Build an agent, and answer when that is over, or after five minutes how far it is."""
    url = None if body is None else body.github_url
    source = _another(await uses.agents.get(caller, agent), url)
    build = await uses.agents.build(caller, agent, source=source)
    await until_built(request, uses, streams, caller, build.id)
    return words.image(await uses.images.build(caller, build.id))


@router.get("/agent/{agent}/image/status")
async def get_image_status(caller: Reader, uses: Uses, agent: str) -> shapes.ImageState:
    """Say how the latest build of an agent goes."""
    return words.image((await uses.agents.get(caller, agent)).build)


def _another(view: AgentView, url: str | None) -> GitSource | None:
    """Return the repository at *url* unless the agent is of it already: what else is said of it stays then."""
    there = view.agent.source
    return None if url is None or (isinstance(there, GitSource) and there.url == url) else GitSource(url=url)


# ---- runs


@router.post("/agent/{agent}/run/start", response_model=shapes.Started)
async def start_run(caller: Invoker, uses: Uses, once: Creating, agent: str, body: shapes.StartRun) -> Response:
    """Start a run; it is on disk when this answers."""
    return await once.answer(200, lambda also: uses.runs.start(caller, agent, body.inputs, also=also), words.started)


@router.get("/agent/{agent}/run/{run}/status")
async def get_run_status(caller: Reader, uses: Uses, agent: str, run: str) -> shapes.RunState:
    """Show a run, with its output: one object for status and output."""
    return await _state(uses, caller, agent, run)


@router.get("/agent/{agent}/run/{run}/output")
async def get_run_output(caller: Reader, uses: Uses, agent: str, run: str) -> shapes.RunState:
    """Show a run, with its output: one object for status and output."""
    return await _state(uses, caller, agent, run)


@router.post("/agent/{agent}/run/{run}/answer")
async def answer_run(caller: Invoker, uses: Uses, agent: str, run: str, body: shapes.AnswerRun) -> shapes.RunState:
    """Answer what a run asks; the same answer again changes nothing."""
    found = await _found(uses, caller, agent, run)
    question = None if body.question is None else QuestionId(body.question)
    await uses.questions.answer(caller, found.id, body.answer, question)
    return await _state(uses, caller, agent, run)


@router.get("/inbox/{user}")
async def get_inbox(caller: Reader, uses: Uses, user: User) -> list[shapes.InboxItem]:
    """List the newest runs of the user's agents that are over, or wait for a person."""
    found = await uses.runs.all(caller, PageQuery(limit=_NEWEST, status=words.INBOX), owner=user)
    asked = await uses.questions.open(caller, found.items)
    return [words.inbox_item(run, asked.get(run.id, ())) for run in found.items]


async def _state(uses: Services, caller: Principal, agent: str, run: str) -> shapes.RunState:
    found = await _found(uses, caller, agent, run)
    printed = await uses.runs.output(caller, found.id)
    asked = await uses.questions.open(caller, [found])
    return words.run(found, printed, asked.get(found.id, ()))


async def _found(uses: Services, caller: Principal, agent: str, run: str) -> Run:
    """Return a run of this agent; `NotFoundError` if it is another's."""
    found = await uses.runs.get(caller, RunId(run))
    if agent not in (found.agent_id, found.agent_name):
        raise NotFoundError(f"The agent {agent[:100]} has no run {run[:100]}.", code="run_not_found")
    return found


# ---- the rest


@router.post("/echo")
async def echo(_caller: Reader, body: Annotated[Any, Body()]) -> shapes.Echo:
    """Say what was sent."""
    return shapes.Echo(echo=body)
