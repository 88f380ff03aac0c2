"""Decisions about agents, without I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.product.agents.machine import derive_name, numbered, status
from skep.product.agents.model import NAME_PATTERN, Agent, AgentConfig, AgentId, AgentStatus, Kind, VersionId
from skep.product.blobs.model import LogId
from skep.product.images.model import (
    Build,
    BuildId,
    BuildStatus,
    FilesSource,
    GitSource,
    ImageSource,
    UploadId,
    UploadSource,
)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (GitSource(url="https://example.org/me/My_Agent.git"), "my-agent"),
        (GitSource(url="git@example.org:bees.git"), "bees"),
        (GitSource(url="https://example.org/mono", path="agents/honey/"), "honey"),
        (UploadSource(upload_id=UploadId("u"), label="/home/ada/Bee Keeper/"), "bee-keeper"),
        (UploadSource(upload_id=UploadId("u"), label="C:\\work\\hive"), "hive"),
        (ImageSource(name="registry:5000/team/bot:1.2"), "bot"),
        (ImageSource(name="team/bot@sha256:abc"), "bot"),
        (FilesSource(files={}), "agent"),
        (GitSource(url="https://example.org/---"), "agent"),
    ],
)
def test_names_come_from_sources(source, name):
    """A repository, a folder and an image give their own name, made fit."""
    assert derive_name(source) == name


@given(url=st.text(), number=st.integers(min_value=2, max_value=10_000))
def test_derived_names_are_names(url, number):
    """Whatever the source is called, the name made from it is one, also with a number behind it."""
    name = derive_name(GitSource(url=url))
    assert NAME_PATTERN.fullmatch(name)
    assert NAME_PATTERN.fullmatch(numbered(name, number))


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("latest", [None, *BuildStatus])
def test_the_status_is_total(built, latest):
    """Every pair of a version or none and a latest build or none has a status; a version makes it ready."""
    agent = Agent(
        id=AgentId("a"),
        project_id="p",
        name="n",
        title="n",
        kind=Kind.JOB,
        source=FilesSource(files={}),
        config=AgentConfig(),
        version_id=VersionId("v") if built else None,
        created_ms=0,
        updated_ms=0,
    )
    build = latest and Build(
        id=BuildId("b"),
        project_id="p",
        agent_id="a",
        source=agent.source,
        status=latest,
        log_id=LogId("l"),
        created_ms=0,
    )
    assert (status(agent, build) is AgentStatus.READY) == built
