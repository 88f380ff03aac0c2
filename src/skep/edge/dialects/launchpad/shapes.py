"""What Launchpad's clients send and get: its own names, and bounds on every text, list and number."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from skep.edge.wire import texts
from skep.edge.wire.common import Answer, EnvName, JsonObject, Time

RunWord = Literal["PENDING", "RUNNING", "WAITING_FOR_FEEDBACK", "DONE", "ERROR"]
ImageWord = Literal["PENDING", "IN_PROGRESS", "DONE", "ERROR"]

_Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=texts.ONE_LINE.pattern)]
_Url = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=texts.WORD.pattern)]
#: Whom an agent belongs to, as the caller names them.
User = Annotated[_Line, Field(description="The user, as the caller names them; it grants nothing.")]


class _Sent(BaseModel):
    """What a caller sends; members that nobody knows are ignored, as they always were."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        alias_generator=to_camel,
        validate_by_name=True,
    )


class _Said(Answer):
    """What the server answers."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)


class CreateImage(_Sent):
    """`POST /api/agent/{agent}/image/create`; any other member is ignored."""

    #: Left out means the agent's own.
    github_url: _Url | None = None


class PutConfig(_Sent):
    """What an agent is made of."""

    agent_name: _Line
    github_url: _Url
    #: A value that is no text is taken as its JSON.
    envs: Annotated[dict[EnvName, Any], Field(max_length=200)] = Field(default_factory=dict[str, Any])


class PutAgent(_Sent):
    """`PUT /api/agent/create`."""

    user_id: User | int
    config: PutConfig


class StartRun(_Sent):
    """`POST /api/agent/{agent}/run/start`."""

    inputs: Annotated[JsonObject, Field(max_length=1000)]


class AnswerRun(_Sent):
    """`POST /api/agent/{agent}/run/{run}/answer`."""

    #: Any JSON that the question takes.
    answer: Any
    #: Which question is meant; left out means the only open one.
    question: Annotated[str, StringConstraints(max_length=128, pattern=texts.ID_OR_NAME.pattern)] | None = None


class Fault(Answer):
    """What every error looks like."""

    error: str
    status_code: int


class Echo(_Said):
    """What was sent."""

    status: str = "OK"
    echo: Any


class ImageState(_Said):
    """How the latest build of an agent goes."""

    status: ImageWord
    #: Percent: how far the step that goes on is along the way, not how long it takes.
    progress: int
    message: str
    image_name: str | None = None
    build_id: str | None = None


class InputKeys(_Said):
    """The names of an agent's inputs; UNKNOWN as long as nothing was built."""

    status: Literal["DONE", "IN_PROGRESS", "UNKNOWN"]
    input_keys: list[str]


class Started(_Said):
    """A run was accepted; its own status says whether it waits for its turn."""

    status: RunWord = "RUNNING"
    run_id: str


class Output(_Said):
    """What a run printed; untrusted text."""

    stdout: str
    stderr: str


class Question(_Said):
    """What a run asks a person; untrusted text."""

    id: str
    text: str
    #: Answers to choose from; empty means any.
    choices: list[str]


class RunState(Output):
    """A run: its status and its output in one."""

    status: RunWord
    run_id: str
    agent_id: str
    #: The same as `stdout` and `stderr`.
    output: Output
    exit_code: int | None = Field(default=None, alias="exit_code")
    #: What the agent wrote to `$SKEP_OUTPUT`.
    result: Any = None
    #: Why it failed, null if it did not.
    error: str | None = None
    #: What it asks while it is WAITING_FOR_FEEDBACK: the oldest of `questions`.
    question: Question | None = None
    #: All that it asks, oldest first.
    questions: list[Question] = Field(default_factory=list[Question])
    inputs: dict[str, Any]
    created_at: Time
    updated_at: Time


class AgentConfig(_Said):
    """What an agent is made of."""

    agent_name: str
    #: "" if the source is no repository.
    github_url: str
    envs: dict[str, str]
    input_keys: list[str]


class Agent(_Said):
    """An agent."""

    id: str
    user_id: str
    config: AgentConfig
    image: ImageState
    created_at: Time
    updated_at: Time


class Put(_Said):
    """The agent is there; its image is being built or was."""

    status: str = "ok"
    agent_id: str
    image: ImageState


class InboxItem(_Said):
    """A run that is over, or that waits for a person."""

    #: The run's.
    id: str
    type: Literal["JOB_RUN"] = "JOB_RUN"
    status: RunWord
    #: What became of it, or what it asks; untrusted text.
    text: str
    #: The same as `text`.
    content: str
    agent_id: str
    agent_name: str
    timestamp: Time
