"""/runs: durable executions of agents."""

from typing import Annotated

from fastapi import Query, Response

from skep.edge.api import render
from skep.edge.api.auth import Invoker, Reader
from skep.edge.api.idempotency import Creating
from skep.edge.api.query import Owner, paging
from skep.edge.api.routing import Uses, native
from skep.edge.api.services import Services
from skep.edge.wire.common import Listing
from skep.edge.wire.runs import AnswerRun, InboxItem, OutputView, RunView, StartRun
from skep.kernel.paging import PageQuery
from skep.product.access.model import Principal
from skep.product.runs.model import NewsStatus, QuestionId, RunId, RunStatus

router = native("runs")


@router.get("/runs")
async def list_runs(
    caller: Reader,
    uses: Uses,
    query: Annotated[PageQuery, paging(RunStatus)],
    agent_id: Annotated[str | None, Query(max_length=128, description="Only runs of this agent (id or name).")] = None,
    owner: Owner = None,
) -> Listing[RunView]:
    """List the runs of the project, of one agent, or of one owner's agents, newest first."""
    page = await uses.runs.all(caller, query, agent=agent_id, owner=owner)
    asked = await uses.questions.open(caller, page.items)
    return render.listing(page, lambda found: render.run(found, asks=asked.get(found.id, ())))


@router.post("/runs", status_code=202, response_model=RunView)
async def start_run(caller: Invoker, uses: Uses, once: Creating, body: StartRun) -> Response:
    """Start a run; it is on disk when this answers."""
    return await once.answer(
        202,
        lambda also: uses.runs.start(caller, body.agent_id, body.inputs, timeout_s=body.timeout_s, also=also),
        render.run,
    )


@router.get("/runs/{run}")
async def get_run(caller: Reader, uses: Uses, run: str) -> RunView:
    """Show a run, with its output."""
    return await with_output(uses, caller, RunId(run))


@router.get("/runs/{run}/status")
async def get_run_status(caller: Reader, uses: Uses, run: str) -> RunView:
    """Show a run, with its output: one object for status and output."""
    return await with_output(uses, caller, RunId(run))


@router.get("/runs/{run}/output")
async def get_run_output(caller: Reader, uses: Uses, run: str) -> RunView:
    """Show a run, with its output: one object for status and output."""
    return await with_output(uses, caller, RunId(run))


@router.post("/runs/{run}/answer", response_model=RunView)
async def answer_run(caller: Invoker, uses: Uses, once: Creating, run: str, body: AnswerRun) -> Response:
    """Answer what a run asks; the answer is on disk when this answers, and the same one again changes nothing."""
    question = None if body.question is None else QuestionId(body.question)
    return await once.answer(
        200, lambda also: uses.questions.answer(caller, RunId(run), body.answer, question, also=also), render.run
    )


@router.get("/inbox")
async def inbox(caller: Reader, uses: Uses, query: Annotated[PageQuery, paging(NewsStatus)]) -> Listing[InboxItem]:
    """List what the project's runs have to tell: what they ask, how they ended; newest run first."""
    return render.listing(await uses.questions.inbox(caller, query), render.news)


@router.post("/runs/{run}/cancel", status_code=202)
async def cancel_run(caller: Invoker, uses: Uses, run: str) -> RunView:
    """Ask for a run's end; one that is over is left as it is."""
    return render.run(await uses.runs.cancel(caller, RunId(run)))


async def with_output(uses: Services, caller: Principal, run_id: RunId) -> RunView:
    """Render a run with what it printed; a run that was final before its output was read is shown whole."""
    found = await uses.runs.get(caller, run_id)
    output = await uses.runs.output(caller, run_id)
    view = OutputView(stdout=output.stdout, stderr=output.stderr, truncated=output.truncated)
    asked = await uses.questions.open(caller, [found])
    return render.run(found, view, asked.get(found.id, ()))
