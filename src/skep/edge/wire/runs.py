"""Runs: one durable execution of an agent each."""

from typing import Annotated, Any, Literal

from pydantic import Field

from skep.edge.wire.common import Answer, FailureView, IdOrName, JsonObject, RequestBody, Time
from skep.product.agents.model import Kind
from skep.product.runs.model import NewsStatus, RunStatus


class StartRun(RequestBody):
    """`POST /runs`."""

    #: Id or name of the agent.
    agent_id: IdOrName
    #: Checked against the agent's schema; given to it as a file.
    inputs: Annotated[JsonObject, Field(max_length=1000)] = Field(default_factory=dict[str, Any])
    #: Wall-clock limit of an attempt; left out means the agent's.
    timeout_s: Annotated[float, Field(gt=0, le=31_536_000)] | None = None


class AnswerRun(RequestBody):
    """`POST /runs/{run}/answer`."""

    #: Any JSON that fits the question's choices and schema.
    answer: Any
    #: Id of the question; left out means the only one that is open.
    question: Annotated[str, Field(max_length=128)] | None = None


class QuestionView(Answer):
    """What a run asks a person."""

    id: str
    #: What tells the questions of the run apart.
    key: str
    #: Untrusted text of an agent.
    text: str
    #: Answers to choose from; empty means any.
    choices: list[str] = Field(default_factory=list[str])
    #: JSON Schema that an answer must fit.
    answer_schema: dict[str, Any] | None = None
    asked_at: Time
    #: Nobody can answer from then on, and the run goes on without.
    expires_at: Time


class InboxItem(Answer):
    """What a run has to tell, or asks."""

    run_id: str
    agent_name: str
    #: What the item is about; there may be others one day.
    type: Literal["run"] = "run"
    status: NewsStatus
    #: The question, the failure or the result, shortened; untrusted.
    text: str
    #: The oldest of `questions`.
    question: QuestionView | None = None
    #: All that it asks, oldest first.
    questions: list[QuestionView] = Field(default_factory=list[QuestionView])
    #: When it ended, or asked.
    at: Time


class OutputView(Answer):
    """What the run printed; untrusted text."""

    stdout: str = ""
    stderr: str = ""
    #: True when the middle was left out because there was too much.
    truncated: bool = False


class UsageView(Answer):
    """What the run used, over all attempts."""

    duration_s: float = 0.0
    cpu_seconds: float = 0.0
    memory_peak_bytes: int = 0


class RunView(Answer):
    """A run; `output` is null in listings and right after the start, and there when one run is asked for."""

    id: str
    #: The same as `id`.
    run_id: str
    agent_id: str
    agent_name: str
    project_id: str
    kind: Kind
    #: Null only while the agent's first build goes on.
    version_id: str | None = None
    status: RunStatus
    inputs: dict[str, Any]
    timeout_s: float | None = None
    cancel_requested: bool = False
    #: How many attempts were begun.
    attempts: int = 0
    exit_code: int | None = None
    #: What the agent wrote to `$SKEP_OUTPUT`: JSON, or text if it is none.
    result: Any = None
    error: FailureView | None = None
    output: OutputView | None = None
    #: The oldest of `questions`.
    question: QuestionView | None = None
    #: All that wait for an answer, oldest first; read with the run, so not in the answer to one that changes it.
    questions: list[QuestionView] = Field(default_factory=list[QuestionView])
    usage: UsageView
    created_at: Time
    started_at: Time | None = None
    ended_at: Time | None = None


class EventView(Answer):
    """A state change of a run, as an item of a listing and as the data of a server-sent event."""

    run_id: str
    #: 1, 2, 3, ... within the run; the id of the server-sent event.
    seq: int
    at: Time
    #: "run.queued", "attempt.started", "run.succeeded", ...
    type: str
    data: dict[str, Any]


class ArtifactView(Answer):
    """A file that the run left in `$SKEP_ARTIFACTS`."""

    path: str
    size: int
    sha256: str


class AgentUsage(Answer):
    """What the runs of one agent used."""

    agent_id: str
    agent_name: str
    #: Status -> number of runs.
    runs: dict[str, int]
    duration_s: float
    cpu_seconds: float
