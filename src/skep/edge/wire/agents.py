"""Agents, their sources and versions."""

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from skep.edge.wire import texts
from skep.edge.wire.builds import BuildView
from skep.edge.wire.common import (
    Answer,
    EnvName,
    EnvValue,
    JsonObject,
    Name,
    RequestBody,
    ResourcesView,
    SecretName,
    Time,
    Title,
)
from skep.edge.wire.repositories import LookedView, PollView
from skep.edge.wire.sources import SourceBody, SourceView
from skep.product.agents.model import AgentStatus, Kind
from skep.product.sandboxes.model import Isolation

SHORTEST_POLL_S, LONGEST_POLL_S = 30, 2_592_000

#: host, host:port or *.host
_EgressHost = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=texts.EGRESS_HOST.pattern)]
_Env = Annotated[dict[EnvName, EnvValue], Field(max_length=200)]
_Secrets = Annotated[list[SecretName], Field(max_length=100)]
_EnvFromSecret = Annotated[dict[EnvName, SecretName], Field(max_length=100)]
_Egress = Annotated[list[_EgressHost], Field(max_length=100)]
_Command = Annotated[list[EnvValue], Field(max_length=200)]
_Schema = Annotated[JsonObject, Field(max_length=200)]
_Attempts = Annotated[int, Field(ge=1, le=10)]
_Poll = Annotated[float, Field(ge=SHORTEST_POLL_S, le=LONGEST_POLL_S)]
_MAY_BE_NULL = frozenset({"inputs_schema", "poll_s"})


class ResourcesBody(RequestBody):
    """What a run may use; what is left out is the installation's default."""

    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    memory_mb: Annotated[int, Field(ge=16, le=4_194_304)] | None = None
    disk_mb: Annotated[int, Field(ge=1, le=4_194_304)] | None = None
    pids: Annotated[int, Field(ge=1, le=100_000)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=31_536_000)] | None = None


class CreateAgent(RequestBody):
    """`POST /agents`: a named thing that can be called; it is built by `POST /agents/{id}/build`."""

    #: Left out means: taken from the source.
    name: Name | None = None
    title: Title = ""
    #: For whom it is: free text, which grants nothing. An owner's agents have different titles.
    owner: Title = ""
    kind: Kind = Kind.JOB
    source: SourceBody
    #: Over the command that is recognised.
    command: _Command = Field(default_factory=list[str])
    env: _Env = Field(default_factory=dict[str, str])
    #: Names of secrets that appear as files in /run/secrets.
    secrets: _Secrets = Field(default_factory=list[str])
    #: Environment variable -> name of a secret: weaker than a file, and audited.
    env_from_secret: _EnvFromSecret = Field(default_factory=dict[str, str])
    resources: ResourcesBody = Field(default_factory=ResourcesBody)
    isolation: Isolation = Isolation.CONTAINER
    egress: _Egress = Field(default_factory=list[str])
    inputs_schema: _Schema | None = None
    #: How often a run is tried when an attempt is lost.
    max_attempts: _Attempts = 1
    #: How often, in seconds, the repository is looked at for something new; left out means never.
    poll_s: _Poll | None = None


class ChangeAgent(RequestBody):
    """`PATCH /agents/{id}`: only the members that are given change; configuration makes a new version."""

    name: Name | None = None
    title: Title | None = None
    source: SourceBody | None = None
    command: _Command | None = None
    env: _Env | None = None
    secrets: _Secrets | None = None
    env_from_secret: _EnvFromSecret | None = None
    #: Replaces all of the resources.
    resources: ResourcesBody | None = None
    isolation: Isolation | None = None
    egress: _Egress | None = None
    #: An explicit null goes back to what the source tells.
    inputs_schema: _Schema | None = None
    max_attempts: _Attempts | None = None
    #: An explicit null ends it.
    poll_s: _Poll | None = None

    @model_validator(mode="after")
    def _nothing_is_null(self) -> Self:
        nulls = [name for name in self.model_fields_set if getattr(self, name) is None and name not in _MAY_BE_NULL]
        if nulls:
            raise ValueError(f"{', '.join(sorted(nulls))}: leave it out instead of sending null")
        return self


class BuildAgent(RequestBody):
    """`POST /agents/{id}/build`; the body may be left out."""

    #: Builds this from now on; left out means the agent's source.
    source: SourceBody | None = None
    #: Takes the newest packages that the source allows, where it has no lock of its own.
    upgrade: bool = False


class ConfigView(Answer):
    """How an agent runs."""

    command: list[str]
    env: dict[str, str]
    secrets: list[str]
    env_from_secret: dict[str, str]
    resources: ResourcesView
    isolation: Isolation
    egress: list[str]
    inputs_schema: dict[str, Any] | None = None
    max_attempts: int


class VersionView(Answer):
    """An image and a configuration; never changed."""

    id: str
    agent_id: str
    number: int
    image_id: str
    config: ConfigView
    created_at: Time


class AgentView(ConfigView):
    """An agent; its configuration is what the next version will be made of."""

    id: str
    project_id: str
    name: str
    title: str
    #: Whom it was made for; "" for nobody.
    owner: str = ""
    kind: Kind
    status: AgentStatus
    source: SourceView
    #: What runs now; null until the first build succeeded.
    version: VersionView | None = None
    #: The latest build.
    build: BuildView | None = None
    #: How the repository is looked at for something new; null if it is not.
    poll: PollView | None = None
    #: What is remembered of the repository from looks and pushes; null before the first.
    looked: LookedView | None = None
    created_at: Time
    updated_at: Time
