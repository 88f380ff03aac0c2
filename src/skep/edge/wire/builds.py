"""Builds and uploads."""

from typing import Any

from pydantic import Field

from skep.edge.wire.common import Answer, FailureView, ResourcesView, Time
from skep.edge.wire.sources import SourceView
from skep.product.images.model import BuildStatus


class RecognisedView(Answer):
    """What the source turned out to be."""

    framework: str
    evidence: list[str]
    command: list[str]
    requires_python: str = ""
    install: str
    inputs_schema: dict[str, Any] | None = None
    #: Variables, secrets (by name) and resources that the source itself asks for.
    env: dict[str, str] = Field(default_factory=dict[str, str])
    secrets: list[str] = Field(default_factory=list[str])
    resources: ResourcesView = Field(default_factory=ResourcesView)


class BuildView(Answer):
    """One durable try to make an image from a source."""

    id: str
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
