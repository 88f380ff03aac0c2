"""What the services give, in Launchpad's words. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from skep.edge.api.render import writable
from skep.edge.dialects.launchpad import shapes
from skep.edge.dialects.launchpad.shapes import ImageWord, RunWord
from skep.kernel.clock import from_ms
from skep.product.agents.model import AgentConfig, AgentStatus, AgentView, NewAgent
from skep.product.images.model import Build, BuildStatus, Failure, GitSource
from skep.product.runs.model import Question, Run, RunOutput, RunStatus

_RUN: Mapping[RunStatus, RunWord] = {
    RunStatus.QUEUED: "PENDING",
    RunStatus.RUNNING: "RUNNING",
    RunStatus.WAITING: "WAITING_FOR_FEEDBACK",
    RunStatus.SUCCEEDED: "DONE",
    RunStatus.FAILED: "ERROR",
    RunStatus.CANCELLED: "ERROR",
    RunStatus.TIMED_OUT: "ERROR",
    RunStatus.LOST: "ERROR",
}
_IMAGE: Mapping[BuildStatus, ImageWord] = {
    BuildStatus.QUEUED: "IN_PROGRESS",
    BuildStatus.RUNNING: "IN_PROGRESS",
    BuildStatus.SUCCEEDED: "DONE",
    BuildStatus.FAILED: "ERROR",
    BuildStatus.CANCELLED: "ERROR",
}
#: What an inbox shows: runs that nothing happens to any more unless a person does something.
INBOX = tuple(status.value for status in RunStatus if _RUN[status] in ("DONE", "ERROR", "WAITING_FOR_FEEDBACK"))
#: Step of a build -> how far along the way it lies, percent.
_PROGRESS: Mapping[str, int] = {
    "": 0,
    "starting": 5,
    "fetching": 10,
    "planning": 20,
    "locking": 30,
    "installing": 50,
    "sealing": 90,
}
_SOMEWHERE = 50
_INPUTS: Mapping[AgentStatus, Any] = {
    AgentStatus.NEW: "UNKNOWN",
    AgentStatus.BUILDING: "IN_PROGRESS",
    AgentStatus.READY: "DONE",
    AgentStatus.BROKEN: "UNKNOWN",
}
_LONGEST = 4000


def new_agent(body: shapes.PutAgent) -> NewAgent:
    """Return the agent that is to be there: its owner is the user, its title the agent's name."""
    env = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.config.envs.items()}
    return NewAgent(
        source=GitSource(url=body.config.github_url),
        title=body.config.agent_name,
        owner=str(body.user_id),
        config=AgentConfig(env=env),
    )


def agent(view: AgentView) -> shapes.Agent:
    """Say what an agent is."""
    found = view.agent
    return shapes.Agent(
        id=found.id,
        user_id=found.owner,
        config=shapes.AgentConfig(
            agent_name=found.title,
            github_url=found.source.url if isinstance(found.source, GitSource) else "",
            envs=dict(found.config.env),
            input_keys=_keys(view),
        ),
        image=image(view.build),
        created_at=from_ms(found.created_ms),
        updated_at=from_ms(found.updated_ms),
    )


def put(view: AgentView) -> shapes.Put:
    """Say that an agent is there."""
    return shapes.Put(agent_id=view.agent.id, image=image(view.build))


def image(build: Build | None) -> shapes.ImageState:
    """Say how a build goes."""
    if build is None:
        return shapes.ImageState(status="PENDING", progress=0, message="Nothing was built yet.")
    done = build.status is BuildStatus.SUCCEEDED
    return shapes.ImageState(
        status=_IMAGE[build.status],
        progress=100 if done else _PROGRESS.get(build.step, _SOMEWHERE),
        message=_of_build(build),
        image_name=f"agent_{build.agent_id}_image_{build.image_id}" if done else None,
        build_id=build.id,
    )


def _of_build(build: Build) -> str:
    match build.status:
        case BuildStatus.QUEUED:
            return "The build waits for its turn."
        case BuildStatus.RUNNING:
            return f"The build goes on: {build.step or 'it begins'}."
        case BuildStatus.SUCCEEDED:
            return "The image is built."
        case BuildStatus.FAILED:
            return _why(build.failure) or "The build failed."
        case BuildStatus.CANCELLED:
            return "The build was cancelled."


def input_keys(view: AgentView) -> shapes.InputKeys:
    """Say which inputs an agent takes, by the schema of what runs now."""
    return shapes.InputKeys(status=_INPUTS[view.status], input_keys=_keys(view))


def _keys(view: AgentView) -> list[str]:
    config = view.agent.config if view.version is None else view.version.config
    properties = (config.inputs_schema or {}).get("properties")
    return list(cast("dict[str, Any]", properties)) if isinstance(properties, dict) else []


def started(run: Run) -> shapes.Started:
    """Say that a run was accepted."""
    return shapes.Started(run_id=run.id)


def run(found: Run, printed: RunOutput, asked: Sequence[Question] = ()) -> shapes.RunState:
    """Say how a run goes, what it printed, and what it has *asked*, oldest first."""
    questions = [shapes.Question(id=one.id, text=one.text, choices=list(one.choices)) for one in asked]
    return shapes.RunState(
        status=_RUN[found.status],
        run_id=found.id,
        agent_id=found.agent_id,
        stdout=printed.stdout,
        stderr=printed.stderr,
        output=shapes.Output(stdout=printed.stdout, stderr=printed.stderr),
        exit_code=found.exit_code,
        result=writable(found.result),
        error=_why(found.failure) or _without_failure(found),
        question=questions[0] if questions else None,
        questions=questions,
        inputs=dict(found.inputs),
        created_at=from_ms(found.created_ms),
        updated_at=from_ms(_changed_ms(found)),
    )


def inbox_item(found: Run, asked: Sequence[Question] = ()) -> shapes.InboxItem:
    """Say what became of a run, or what it has *asked*."""
    asks = asked[0].text if asked else None
    text = (asks or _why(found.failure) or _without_failure(found) or _told(found))[:_LONGEST]
    return shapes.InboxItem(
        id=found.id,
        status=_RUN[found.status],
        text=text,
        content=text,
        agent_id=found.agent_id,
        agent_name=found.agent_name,
        timestamp=from_ms(_changed_ms(found)),
    )


def _told(found: Run) -> str:
    if found.status is RunStatus.WAITING:
        return "The run waits for an answer."
    return found.result if isinstance(found.result, str) and found.result else "The run is done."


def _without_failure(found: Run) -> str | None:
    return "The run was cancelled." if found.status is RunStatus.CANCELLED else None


def _why(failure: Failure | None) -> str | None:
    return None if failure is None else " ".join(part for part in (failure.message, failure.hint) if part)


def _changed_ms(found: Run) -> int:
    return found.ended_ms or found.started_ms or found.created_ms
