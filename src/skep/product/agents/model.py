"""What an agent is: a named thing that can be called, in immutable versions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final, NewType

from skep.product.images.model import Build, BuildId, Failure, ImageId, Resources, Source
from skep.product.sandboxes.model import Isolation

AgentId = NewType("AgentId", str)
VersionId = NewType("VersionId", str)

#: A DNS label.
NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class Kind(StrEnum):
    """How an agent lives."""

    #: Runs to its end, with inputs.
    JOB = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """All that the owner says about how the agent runs; part of each version."""

    #: Over the recognised one; () means: the recognised one.
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Names of secrets that appear as files in /run/secrets.
    secrets: tuple[str, ...] = ()
    #: Environment variable -> name of a secret: weaker, and audited.
    env_from_secret: Mapping[str, str] = field(default_factory=dict[str, str])
    resources: Resources = field(default_factory=Resources)
    isolation: Isolation = Isolation.CONTAINER
    #: Hosts that a run may reach; empty means none. (Doors for runs come with the gateway.)
    egress: tuple[str, ...] = ()
    #: JSON Schema of the inputs; None means: what the source tells, else any object.
    inputs_schema: Mapping[str, Any] | None = None
    #: How often a run is tried when an attempt is lost: 1 means never again.
    max_attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What is remembered of the repository: what it had last, and how looking at it went."""

    at_ms: int
    #: The commit that a look or a push brought last, whether or not a build of it came to anything.
    commit: str = ""
    #: Looks that failed, in a row.
    failures: int = 0
    #: Why the last one did.
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A named thing that can be called."""

    id: AgentId
    project_id: str
    #: `NAME_PATTERN`, unique among the project's agents that are not removed.
    name: str
    title: str
    #: Whom it was made for; free text, "" for nobody. It says who, and grants nothing.
    owner: str = ""
    kind: Kind
    source: Source
    #: What the next version will be made of.
    config: AgentConfig
    version_id: VersionId | None = None
    build_id: BuildId | None = None
    #: How often, in seconds, its repository is looked at for something new; None means never.
    poll_s: float | None = None
    #: When that is due next.
    poll_due_ms: int | None = None
    looked: Looked | None = None
    #: When a push last asked for a look that has not answered it yet; None if none is owed.
    asked_ms: int | None = None
    created_ms: int
    updated_ms: int
    removed_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An image and a configuration; never changed."""

    id: VersionId
    agent_id: AgentId
    project_id: str
    #: 1, 2, 3, ... in the order of their making.
    number: int
    image_id: ImageId
    config: AgentConfig
    created_ms: int


class AgentStatus(StrEnum):
    """Derived, never stored."""

    #: Not built yet, and no build goes on.
    NEW = "new"
    #: Its first build goes on.
    BUILDING = "building"
    #: It has a version that can run.
    READY = "ready"
    #: It has none, and the last build failed.
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent as it is shown: what is stored, and what follows from it."""

    agent: Agent
    status: AgentStatus
    #: What runs now.
    version: Version | None = None
    #: The latest build.
    build: Build | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAgent:
    """What somebody says who makes an agent."""

    source: Source
    #: "" means: taken from the source, and made unique.
    name: str = ""
    title: str = ""
    #: For whom; an owner's agents have different titles.
    owner: str = ""
    kind: Kind = Kind.JOB
    config: AgentConfig = field(default_factory=AgentConfig)
    #: How often its repository is looked at; None means never.
    poll_s: float | None = None


class Keep(Enum):
    """Stands for "leave it as it is" where None is a value of its own."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChange:
    """What somebody wants changed; None means: as it is."""

    name: str | None = None
    title: str | None = None
    #: What the next build takes; it does not begin one.
    source: Source | None = None
    poll_s: float | Keep | None = KEEP
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] | None = None
    secrets: tuple[str, ...] | None = None
    env_from_secret: Mapping[str, str] | None = None
    resources: Resources | None = None
    isolation: Isolation | None = None
    egress: tuple[str, ...] | None = None
    inputs_schema: Mapping[str, Any] | Keep | None = KEEP
    max_attempts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimits:
    """What an agent may ask for at the most."""

    max_cpus: float = 16
    max_memory_mb: int = 16384
    max_disk_mb: int = 16384
    max_pids: int = 4096
    max_timeout_s: float = 86400
