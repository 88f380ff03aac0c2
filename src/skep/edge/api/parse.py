"""Shapes of requests become what the services take."""

from typing import Any

from skep.edge.wire.agents import ChangeAgent, CreateAgent, ResourcesBody
from skep.edge.wire.sources import SourceBody
from skep.product.agents.model import KEEP, AgentChange, AgentConfig, NewAgent, Resources
from skep.product.images.model import FilesSource, GitSource, ImageSource, Source, UploadId, UploadSource


def source(body: SourceBody) -> Source:
    """Return the source that the body names; the shape has made sure that it names exactly one."""
    if body.git is not None:
        return GitSource(url=body.git.url, ref=body.git.ref, path=body.git.path, secret=body.git.secret or "")
    if body.files is not None:
        return FilesSource(files=body.files)
    if body.upload is not None:
        return UploadSource(upload_id=UploadId(body.upload), path=body.path, label=body.label)
    assert body.image is not None
    return ImageSource(name=body.image)


def resources(body: ResourcesBody) -> Resources:
    """Return what a run may use."""
    return Resources(**body.model_dump())


def new_agent(body: CreateAgent) -> NewAgent:
    """Return the agent that is to be made."""
    config = AgentConfig(
        command=tuple(body.command),
        env=body.env,
        secrets=tuple(body.secrets),
        env_from_secret=body.env_from_secret,
        resources=resources(body.resources),
        isolation=body.isolation,
        egress=tuple(body.egress),
        inputs_schema=body.inputs_schema,
        max_attempts=body.max_attempts,
    )
    return NewAgent(
        source=source(body.source),
        name=body.name or "",
        title=body.title,
        owner=body.owner,
        kind=body.kind,
        config=config,
        poll_s=body.poll_s,
    )


def change(body: ChangeAgent) -> AgentChange:
    """Return what is to be changed: only the members that were sent."""
    return AgentChange(
        name=body.name,
        title=body.title,
        source=None if body.source is None else source(body.source),
        command=_tuple(body.command),
        env=body.env,
        secrets=_tuple(body.secrets),
        env_from_secret=body.env_from_secret,
        resources=None if body.resources is None else resources(body.resources),
        isolation=body.isolation,
        egress=_tuple(body.egress),
        inputs_schema=body.inputs_schema if "inputs_schema" in body.model_fields_set else KEEP,
        poll_s=body.poll_s if "poll_s" in body.model_fields_set else KEEP,
        max_attempts=body.max_attempts,
    )


def _tuple(items: list[str] | None) -> tuple[Any, ...] | None:
    return None if items is None else tuple(items)
