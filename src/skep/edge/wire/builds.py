"""Builds and uploads."""

from typing import Annotated, Any, Literal

from pydantic import Field

from skep.edge.wire.common import Answer, EnvValue, FailureView, RequestBody, ResourcesView, Time
from skep.edge.wire.sources import SourceBody, SourceView
from skep.product.images.model import BuildStatus


class ExplainBuild(RequestBody):
    """`POST /builds`: find out what a build of a source would do, without an agent and without building."""

    source: SourceBody
    #: Over the command that is recognised.
    command: Annotated[list[EnvValue], Field(max_length=200)] = Field(default_factory=list[str])
    #: Always true: an agent is built by `POST /agents/{id}/build`.
    explain: Literal[True]


class HealthView(Answer):
    """How it is found out that a service is well."""

    path: str = ""
    interval_s: float
    timeout_s: float


class DeclaredView(Answer):
    """What a source says of itself that is recorded, and not needed to build it."""

    name: str = ""
    kind: str = ""
    port: int | None = None
    health: HealthView | None = None
    #: Hosts that it asks to reach.
    egress: list[str] = Field(default_factory=list[str])
    #: Five fields of cron; "" means none.
    schedule: str = ""


class RecognisedView(Answer):
    """What the source turned out to be."""

    framework: str
    evidence: list[str]
    command: list[str]
    #: "python" or "node".
    language: str = "python"
    requires_python: str = ""
    #: Versions of Node that it takes, as package.json writes them; "" means any.
    requires_node: str = ""
    install: str
    #: Requirements (PEP 508) that the framework adds to those of the project.
    requirements: list[str] = Field(default_factory=list[str])
    #: Files of the source whose requirements are added: requirements.txt or pyproject.toml of a folder.
    requirement_files: list[str] = Field(default_factory=list[str])
    #: Commands that make the source ready once its dependencies are there.
    prepare: list[list[str]] = Field(default_factory=list[list[str]])
    inputs_schema: dict[str, Any] | None = None
    #: Variables, secrets (by name) and resources that the source itself asks for.
    env: dict[str, str] = Field(default_factory=dict[str, str])
    secrets: list[str] = Field(default_factory=list[str])
    resources: ResourcesView = Field(default_factory=ResourcesView)
    declared: DeclaredView = Field(default_factory=DeclaredView)
    #: What its owner should know: another framework that would have fitted, a key that nothing acts on yet.
    notices: list[str] = Field(default_factory=list[str])


class ExplainedLayerView(Answer):
    """A layer that a build needs."""

    id: str
    #: "runtime" and "shared" are everybody's, "source" and "private" the project's own.
    kind: str
    about: str
    #: True if it is there already and will be used again.
    there: bool
    #: Commands that make it.
    steps: list[list[str]] = Field(default_factory=list[list[str]])


class ExplanationView(Answer):
    """What a build does."""

    runtimes: list[str]
    #: How many packages come from hash-checked wheels.
    shared: int = 0
    #: Packages that run code when they are installed.
    private: list[str] = Field(default_factory=list[str])
    layers: list[ExplainedLayerView] = Field(default_factory=list[ExplainedLayerView])


class BuildView(Answer):
    """One durable try to make an image from a source."""

    id: str
    #: "" for one that only explains.
    agent_id: str
    project_id: str
    status: BuildStatus
    #: What it is doing: "fetching", "planning", "installing", "sealing".
    step: str = ""
    attempt: int
    source: SourceView
    #: Full hash of the commit that was fetched.
    commit: str = ""
    image_id: str | None = None
    recognised: RecognisedView | None = None
    #: True: it ends once it is known what would be built.
    explain: bool = False
    #: The newest packages that the source allows were asked for.
    upgrade: bool = False
    #: What it does, once that is known.
    explanation: ExplanationView | None = None
    error: FailureView | None = None
    cancel_requested: bool = False
    created_at: Time
    started_at: Time | None = None
    ended_at: Time | None = None


class UploadView(Answer):
    """An uploaded archive: name its id as the `upload` of a source."""

    id: str
    size: int
    sha256: str
    created_at: Time
