"""What a run is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

from skep.product.agents.model import AgentId, Kind, VersionId
from skep.product.blobs.model import BlobId, LogId
from skep.product.images.model import Failure
from skep.product.sandboxes.model import Exit, SandboxId

RunId = NewType("RunId", str)
AttemptId = NewType("AttemptId", str)
QuestionId = NewType("QuestionId", str)


class RunStatus(StrEnum):
    """Where a run stands."""

    #: Accepted and on disk; also between two attempts, and while the agent's first build goes on.
    QUEUED = "queued"
    #: An attempt goes on.
    RUNNING = "running"
    #: It waits for a person's answer.
    WAITING = "waiting"
    #: It ended by itself with exit code 0.
    SUCCEEDED = "succeeded"
    #: It ended badly; `failure` says how.
    FAILED = "failed"
    #: Somebody asked for its end.
    CANCELLED = "cancelled"
    #: Its time was up.
    TIMED_OUT = "timed_out"
    #: Its sandbox vanished and nobody knows how far it came.
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Tell whether nothing will change any more."""
        return self not in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING)


class AttemptPhase(StrEnum):
    """How far an attempt has come; each is committed before the effect that follows it."""

    #: The ids of sandbox and command are on disk; the sandbox may or may not exist.
    INTENDED = "intended"
    #: The sandbox exists; inputs are being put in, the command may or may not have been started.
    CREATED = "created"
    #: The command was started; it may be over by now.
    STARTED = "started"
    #: It is over; how is on disk. Output and artifacts are being kept.
    EXITED = "exited"
    #: Everything is kept.
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to execute a run."""

    id: AttemptId
    run_id: RunId
    #: 1, 2, 3, ...
    number: int
    phase: AttemptPhase
    sandbox_id: SandboxId
    log_id: LogId
    node_id: str
    exit: Exit | None = None
    created_ms: int
    #: When the command was started: the time limit counts from here.
    started_ms: int | None = None
    #: Milliseconds that it has waited for a person, which the time limit does not count.
    waited_ms: int = 0
    #: Since when it waits for one.
    waiting_since_ms: int | None = None
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run used, over all attempts."""

    duration_s: float = 0.0
    cpu_seconds: float = 0.0
    memory_peak_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that a run left in `$SKEP_ARTIFACTS`."""

    run_id: RunId
    #: Relative path, `/` between parts, no `.` or `..`.
    path: str
    blob_id: BlobId
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One durable execution of an agent."""

    id: RunId
    project_id: str
    agent_id: AgentId
    agent_name: str
    kind: Kind
    #: None only while the agent's first build goes on.
    version_id: VersionId | None
    status: RunStatus
    inputs: Mapping[str, Any]
    #: The run's own time limit; None means the version's.
    timeout_s: float | None = None
    cancel_requested: bool = False
    attempts: int = 0
    #: What the agent wrote to `$SKEP_OUTPUT`: JSON, or text if it is none.
    result: Any = None
    exit_code: int | None = None
    failure: Failure | None = None
    usage: Usage = field(default_factory=Usage)
    created_ms: int
    started_ms: int | None = None
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a run asks a person; the answer is kept, so that another attempt which asks the same has it at once."""

    id: QuestionId
    run_id: RunId
    project_id: str
    #: What tells the questions of a run apart: given by the agent, or made from the text and how often it was asked.
    key: str
    text: str
    #: Answers to choose from; () means any.
    choices: tuple[str, ...] = ()
    #: JSON Schema that an answer must fit; None means any JSON.
    answer_schema: Mapping[str, Any] | None = None
    asked_ms: int
    #: From here on nobody can answer any more, and the agent is told so.
    expires_ms: int
    #: Meaningless until `answered_ms` is set.
    answer: Any = None
    answered_ms: int | None = None
    #: Who answered: the principal's name.
    answered_by: str = ""

    def is_open(self, now_ms: int) -> bool:
        """Tell whether somebody may still answer, as far as the question itself goes: its run may be over."""
        return self.answered_ms is None and now_ms < self.expires_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an agent asks, checked."""

    key: str
    text: str
    choices: tuple[str, ...] = ()
    answer_schema: Mapping[str, Any] | None = None
    #: How long the agent wants to wait; None means as long as the installation lets it.
    timeout_s: float | None = None


class NewsStatus(StrEnum):
    """What an item of the inbox tells of."""

    #: A run ended well.
    FINISHED = "finished"
    #: A run ended badly.
    FAILED = "failed"
    #: A run waits for an answer.
    WAITING = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """An item of the inbox: what a person may want to know of, or has to do."""

    run_id: RunId
    agent_name: str
    status: NewsStatus
    #: The question, the failure, or the result, shortened; untrusted.
    text: str
    #: Those that are open, oldest first.
    questions: tuple[Question, ...] = ()
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """A state change of a run."""

    run_id: RunId
    #: 1, 2, 3, ... within the run; the id of the server-sent event.
    seq: int
    at_ms: int
    #: "run.queued", "attempt.created", "attempt.started", "run.succeeded", ...
    type: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutput:
    """What a run printed, as text; bytes that are no UTF-8 are replaced."""

    stdout: str = ""
    stderr: str = ""
    #: True when the middle was left out because there was too much.
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentUsage:
    """What the runs of one agent used."""

    agent_id: AgentId
    agent_name: str
    #: Status -> number of runs.
    runs: Mapping[RunStatus, int]
    duration_s: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What a run may use, unless its agent says otherwise, and what is kept of it."""

    cpus: float = 1.0
    memory_bytes: int = 512 << 20
    disk_bytes: int = 1024 << 20
    pids: int = 256
    timeout_s: float = 3600.0
    #: The longest time limit that may be asked for.
    max_timeout_s: float = 86400.0
    #: Time between TERM and KILL.
    grace_s: float = 1.5
    #: How much longer than it should a command may last before the server itself ends it, then its sandbox.
    slack_s: float = 5.0
    #: Kept output of an attempt; the server itself stops 1 MiB later.
    output_bytes: int = 10 << 20
    result_bytes: int = 1 << 20
    #: Kept artifacts of an attempt, all together, and how many.
    artifact_bytes: int = 64 << 20
    artifact_count: int = 1000
    #: Runs of one project that may be unfinished.
    max_unfinished: int = 10_000
    #: The longest that a run waits for an answer.
    ask_timeout_s: float = 7 * 86400.0
    #: How long a run goes on waiting when nobody in its sandbox listens for the answer any more.
    absence_s: float = 15.0
    #: Below this much free disk new runs are refused.
    min_free_bytes: int = 512 << 20
    #: First pause before something that is away is tried again; it doubles up to 5 s.
    retry_s: float = 0.2
