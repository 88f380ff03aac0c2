"""One whole thing of each noun, every field filled, to be changed by `dataclasses.replace`."""

from skep.product.access.model import AuditEntry, KeptAnswer, Project, ProjectId, Scope, Token, TokenId
from skep.product.agents.model import Agent, AgentConfig, AgentId, Kind, Resources, Version, VersionId
from skep.product.blobs.model import BlobId, LogId
from skep.product.images.model import (
    Build,
    BuildId,
    BuildStatus,
    Failure,
    GitSource,
    Image,
    ImageId,
    Install,
    Layer,
    LayerKind,
    Recognised,
    Upload,
    UploadId,
)
from skep.product.nodes.model import Node, NodeId
from skep.product.runs.model import (
    Artifact,
    Attempt,
    AttemptId,
    AttemptPhase,
    Question,
    QuestionId,
    Run,
    RunId,
    RunStatus,
    Usage,
)
from skep.product.sandboxes.model import (
    Exit,
    ExitReason,
    Handle,
    Isolation,
    LayerId,
    Phase,
    Sandbox,
    SandboxId,
)
from skep.product.secrets.model import SealedSecret, SecretInfo

PROJECT = Project(id=ProjectId("prj_1"), name="default", created_ms=10)

TOKEN = Token(
    id=TokenId("tok_1"),
    project_id=PROJECT.id,
    name="ci",
    scopes=frozenset({Scope.OPERATE, Scope.READ}),
    digest="d" * 64,
    created_ms=11,
    expires_ms=99,
)

AUDIT_ENTRY = AuditEntry(
    id="aud_1",
    at_ms=12,
    project_id=PROJECT.id,
    principal="ci",
    action="agent.create",
    resource="bees",
    details={"from": ["git", None, 1.5, True], "wörd": "\x00\ud800"},
    address="127.0.0.1",
)

KEPT_ANSWER = KeptAnswer(
    token_id=TOKEN.id,
    path="/api/v1/runs",
    key="k-1",
    body_digest="b" * 64,
    status=202,
    body='{"id":"run_1"}',
    created_ms=13,
)

SECRET = SealedSecret(
    info=SecretInfo(id="sec_1", project_id=PROJECT.id, name="API_KEY", created_ms=14, updated_ms=14),
    nonce=b"\x00nonce\xff",
    ciphertext=bytes(range(256)),
    key_id="key-1",
)

NODE = Node(id=NodeId("nod_1"), name="box", boot_id="boot-1", incarnation="inc_1", heartbeat_ms=15, started_ms=15)

HANDLE = Handle(version=1, driver="oci", id=SandboxId("sbx_1"), data={"pid": "77", "start": "123"})

SANDBOX = Sandbox(
    id=SandboxId("sbx_1"),
    project_id=PROJECT.id,
    node_id=NODE.id,
    owner="att_1",
    phase=Phase.INTENDED,
    handle=None,
    created_ms=16,
)

RECOGNISED = Recognised(
    framework="python",
    evidence=("pyproject.toml", "main.py"),
    command=("python", "main.py"),
    requires_python=">=3.11",
    install=Install.UV_LOCK,
    inputs_schema={"type": "object", "required": ["topic"]},
    env={"A": "b"},
)

UPLOAD = Upload(
    id=UploadId("upl_1"), project_id=PROJECT.id, blob_id=BlobId("blo_1"), size=1 << 40, sha256="c" * 64, created_ms=17
)

BUILD = Build(
    id=BuildId("bld_1"),
    project_id=PROJECT.id,
    agent_id="agt_1",
    source=GitSource(url="https://git.example/bees.git", ref="main", path="agents/bees"),
    command=("python", "-m", "bees"),
    status=BuildStatus.RUNNING,
    log_id=LogId("log_1"),
    node_id=NODE.id,
    sandbox_id=SandboxId("sbx_1"),
    attempt=2,
    step="installing",
    image_id=ImageId("img_1"),
    commit="a" * 40,
    recognised=RECOGNISED,
    failure=Failure(code="resolver", message="no such package", hint="mend requirements.txt"),
    cancel_requested=True,
    created_ms=18,
    started_ms=19,
    ended_ms=20,
)

IMAGE = Image(
    id=ImageId("img_1"),
    project_id=PROJECT.id,
    node_id=NODE.id,
    layers=(LayerId("e" * 64), LayerId("f" * 64)),
    base_fingerprint="scripted",
    recognised=RECOGNISED,
    source_digest="1" * 64,
    commit="a" * 40,
    size=123_456_789_012,
    created_ms=21,
)

LAYER = Layer(
    id=LayerId("e" * 64),
    node_id=NODE.id,
    kind=LayerKind.SOURCE,
    project_id=PROJECT.id,
    about="the source",
    size=123_456_789_012,
    created_ms=22,
    used_ms=23,
)

CONFIG = AgentConfig(
    command=("python", "main.py"),
    env={"MODE": "fast"},
    secrets=("API_KEY",),
    env_from_secret={"OPENAI_API_KEY": "API_KEY"},
    resources=Resources(cpus=0.5, memory_mb=256, timeout_s=60),
    isolation=Isolation.CONTAINER,
    egress=("api.example",),
    inputs_schema={"type": "object"},
    max_attempts=3,
)

AGENT = Agent(
    id=AgentId("agt_1"),
    project_id=PROJECT.id,
    name="bees",
    title="Bees, 蜂",
    kind=Kind.JOB,
    source=BUILD.source,
    config=CONFIG,
    version_id=VersionId("ver_1"),
    build_id=BUILD.id,
    asked_ms=21,
    created_ms=22,
    updated_ms=23,
)

VERSION = Version(
    id=VersionId("ver_1"),
    agent_id=AGENT.id,
    project_id=PROJECT.id,
    number=1,
    image_id=IMAGE.id,
    config=CONFIG,
    created_ms=24,
)

RUN = Run(
    id=RunId("run_1"),
    project_id=PROJECT.id,
    agent_id=AGENT.id,
    agent_name=AGENT.name,
    kind=Kind.JOB,
    version_id=VERSION.id,
    status=RunStatus.FAILED,
    inputs={"topic": "bees", "deep": [{"n": 1.25}]},
    timeout_s=12.5,
    cancel_requested=True,
    attempts=2,
    result={"answer": [42, None, "\x00"]},
    exit_code=3,
    failure=Failure(code="exit_code", message="it ended with 3"),
    usage=Usage(duration_s=1.5, cpu_seconds=0.25, memory_peak_bytes=1 << 33),
    created_ms=25,
    started_ms=26,
    ended_ms=27,
)

ATTEMPT = Attempt(
    id=AttemptId("att_1"),
    run_id=RUN.id,
    number=1,
    phase=AttemptPhase.EXITED,
    sandbox_id=SandboxId("sbx_1"),
    log_id=LogId("log_2"),
    node_id=NODE.id,
    exit=Exit(reason=ExitReason.SIGNALED, signal=9, duration_s=1.5, truncated=True, message="killed"),
    created_ms=28,
    started_ms=29,
    waited_ms=3,
    waiting_since_ms=29,
    ended_ms=30,
)

QUESTION = Question(
    id=QuestionId("qst_1"),
    run_id=RUN.id,
    project_id=PROJECT.id,
    key="a key",
    text="Go on?",
    choices=("yes", "no"),
    answer_schema={"enum": ["yes", "no"]},
    asked_ms=29,
    expires_ms=60,
    answer={"said": ["\x00", None]},
    answered_ms=30,
    answered_by="ada",
)

ARTIFACT = Artifact(run_id=RUN.id, path="out/report.txt", blob_id=BlobId("blo_2"), size=5, sha256="9" * 64)
