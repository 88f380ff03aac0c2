"""Agents that are put there for an owner: who asks for the same again gets what is there."""

from skep.kernel.errors import InvalidError
from skep.product.access.model import Principal
from skep.product.agents.model import AgentChange, AgentView, NewAgent
from skep.product.agents.service import AgentService
from skep.product.images.model import BuildStatus


async def put(agents: AgentService, principal: Principal, new: NewAgent) -> AgentView:
    """Make the agent that its owner calls by this title, or bring it to *new*'s source and environment.

    A build begins if the source is new or the last one came to nothing. Each step is a commit of its own that can be
    repeated: whoever was not answered asks again.

    Raises:
        InvalidError: there is no owner or no title; or as `AgentService.create` says.
        ConflictError: `title_taken`: somebody else puts the same one at this moment.
    """
    wrong = {name: "must not be empty" for name in ("owner", "title") if not getattr(new, name)}
    if wrong:
        raise InvalidError("An agent that is put there needs an owner and a title.", fields=wrong)
    there = await agents.owned(principal, new.owner, new.title)
    made = await agents.create(principal, new) if there is None else await _brought(agents, principal, there, new)
    if not needs_build(there, new):
        return made
    await agents.build(principal, made.agent.id)
    return await agents.get(principal, made.agent.id)


def needs_build(there: AgentView | None, new: NewAgent) -> bool:
    """Tell whether what is there, if it is, was not built from *new*'s source and is not about to be."""
    if there is None or there.build is None or there.build.source != new.source:
        return True
    return there.build.status in (BuildStatus.FAILED, BuildStatus.CANCELLED)


async def _brought(agents: AgentService, principal: Principal, there: AgentView, new: NewAgent) -> AgentView:
    if there.agent.source == new.source and there.agent.config.env == new.config.env:
        return there
    return await agents.change(principal, there.agent.id, AgentChange(source=new.source, env=new.config.env))
