"""What a sandbox is, what runs in it, and how that ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

SandboxId = NewType("SandboxId", str)
CommandId = NewType("CommandId", str)
#: Name of a sealed, read-only layer: 64 lower-case hex digits (SHA-256 of the key it was built from).
LayerId = NewType("LayerId", str)


class Isolation(StrEnum):
    """How strong the wall is; the name of a level, not of a program."""

    #: A Linux container: namespaces, seccomp, cgroups; the host's kernel is shared (runc).
    CONTAINER = "container"
    #: A kernel of its own in user space (gVisor's runsc).
    GVISOR = "gvisor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a sandbox may use at the most."""

    cpus: float
    memory_bytes: int
    disk_bytes: int
    pids: int
    open_files: int = 1024
    #: Kept output of one command, bytes; beyond it the first and the last half are kept.
    output_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """Everything that a driver needs to make a sandbox; committed before it is made."""

    id: SandboxId
    project_id: str
    isolation: Isolation
    limits: Limits
    #: Read-only layers laid over the base, lowest first.
    layers: tuple[LayerId, ...] = ()
    #: Ports below 1024 on the sandbox's own loopback on which Skep will listen.
    doors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """What a driver needs to find its sandbox again; stored by the product, opened only by the driver."""

    version: int
    driver: str
    id: SandboxId
    data: Mapping[str, str] = field(default_factory=dict[str, str])


class CommandUser(StrEnum):
    """Who a command runs as, inside."""

    #: uid 1000, no capabilities: the agent.
    AGENT = "agent"
    #: uid 0 inside, without capabilities.
    ROOT = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One process to start in a sandbox; starting it twice under one id starts it once."""

    id: CommandId
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str = "/app"
    user: CommandUser = CommandUser.AGENT
    #: Wall-clock limit, kept by the supervisor also while the server is down; None means none.
    timeout_s: float | None = None
    #: Time between TERM and KILL, at the time limit and on `signal`.
    grace_s: float = 1.5


class ExitReason(StrEnum):
    """Why a command is over."""

    #: It ended by itself; `code` says how.
    EXITED = "exited"
    #: A signal ended it; `signal` says which.
    SIGNALED = "signaled"
    #: The wall-clock limit passed.
    TIMED_OUT = "timed_out"
    #: The kernel's out-of-memory killer ended it.
    OUT_OF_MEMORY = "out_of_memory"
    #: It could not be started; `message` says why.
    NOT_STARTED = "not_started"
    #: The sandbox is gone and nobody saw how it ended.
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a command ended."""

    reason: ExitReason
    code: int | None = None
    signal: int | None = None
    duration_s: float = 0.0
    truncated: bool = False
    message: str = ""


class Stream(StrEnum):
    """Where a piece of output came from."""

    STDOUT = "stdout"
    STDERR = "stderr"
    #: Skep's own words in a log (for example: how much was left out).
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputChunk:
    """A piece of a command's output."""

    stream: Stream
    #: Milliseconds since 1970, by the sandbox's clock; untrusted.
    at_ms: int
    data: bytes
    #: Where to go on after this chunk: an opaque, growing number of the driver's.
    next_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What the host sees of a sandbox; nothing in it comes from inside."""

    alive: bool
    oom_kills: int = 0
    memory_bytes: int = 0
    memory_peak_bytes: int = 0
    cpu_seconds: float = 0.0
    pids: int = 0
    #: Its agent has had as many processes at once as it may; False also where the kernel does not say so.
    pids_reached: bool = False
    #: What its disk has left for the agent, bytes and files; None where nobody knows.
    disk_left_bytes: int | None = None
    disk_left_files: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file in a sandbox, as listed by the agent's own user."""

    #: Relative to the listed folder, `/` between parts.
    path: str
    size: int
    is_dir: bool = False
    is_link: bool = False
    mode: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a driver can really do on this machine; said to the user in these words."""

    isolation: Isolation
    #: True where the limit is enforced by the kernel.
    limits_enforced: Mapping[str, bool]
    #: "loop", "quota" or "tmpfs": what holds the disk limit.
    disk_limit: str
    two_users: bool = True
    doors: bool = True
    sealing: bool = True
    #: What this isolation does not protect from.
    not_protected: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict[str, str])


class Phase(StrEnum):
    """What Skep has observed of a sandbox row."""

    #: The intent is committed; it may or may not exist.
    INTENDED = "intended"
    #: It was made and its supervisor answered.
    READY = "ready"
    #: It is to be destroyed; it may or may not still exist.
    DESTROYING = "destroying"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A row: the intent to have a sandbox on a node, and what became of it."""

    id: SandboxId
    project_id: str
    node_id: str
    #: Id of the attempt or build that it serves.
    owner: str
    phase: Phase
    handle: Handle | None
    created_ms: int
