"""What is built, from what, and how that goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

from skep.product.blobs.model import BlobId, LogId
from skep.product.sandboxes.model import LayerId, SandboxId

ImageId = NewType("ImageId", str)
BuildId = NewType("BuildId", str)
UploadId = NewType("UploadId", str)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """A repository: https, or by the operator's leave http or ssh."""

    url: str
    #: Branch, tag or commit; None means the remote's HEAD.
    ref: str | None = None
    #: Folder inside the repository, `/` between parts; "" is its root.
    path: str = ""
    #: Name of the project's secret that opens a private repository: a token (https) or a deploy key (ssh).
    secret: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSource:
    """A few files, given inline."""

    files: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSource:
    """A packed folder (tar, gzip) that was uploaded before."""

    upload_id: UploadId
    path: str = ""
    #: What the uploader says it was made from (a folder's name, a commit); shown, never used.
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """A container image by name; needs a driver that can run images."""

    name: str


Source = GitSource | FilesSource | UploadSource | ImageSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An uploaded archive, kept until no build can need it any more."""

    id: UploadId
    project_id: str
    blob_id: BlobId
    size: int
    sha256: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceListing:
    """What the source holds, as far as recognising it needs: read in the build's sandbox, untrusted."""

    #: Every path, `/` between parts, with its size in bytes; folders are left out.
    files: Mapping[str, int]
    #: The text of the files that a framework or Skep looks into (at most 256 KiB each).
    texts: Mapping[str, str]
    #: SHA-256 over all paths, modes and contents.
    digest: str
    #: SHA-256 of the content of each file that a framework or Skep looks into, however large.
    hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Files that only stand for others, which Git LFS keeps elsewhere; the first of them.
    pointers: tuple[str, ...] = ()


class Install(StrEnum):
    """How dependencies are installed."""

    #: Nothing to install: the standard library is enough.
    NOTHING = "nothing"
    #: `uv sync --frozen`: a lock says everything.
    UV_LOCK = "uv_lock"
    #: `uv pip install .`'s dependencies, by pyproject.toml without a lock.
    PYPROJECT = "pyproject"
    #: `uv pip install -e .`: setup.py, or the build backend, says what is needed.
    PACKAGE = "package"
    #: `uv pip install -r requirements.txt`.
    REQUIREMENTS = "requirements"
    #: `npm ci`: package-lock.json says everything.
    NPM_LOCK = "npm_lock"
    #: `npm install`, by package.json without a lock.
    NPM = "npm"


class Language(StrEnum):
    """What an agent's program is run by."""

    PYTHON = "python"
    NODE = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How it is found out that a service is well."""

    #: Path that answers 200; "" means: the port takes a connection.
    path: str = ""
    interval_s: float = 10.0
    timeout_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a source says of itself that is not needed to build it; recorded, and shown."""

    #: The name that the agent gets if nobody gives another.
    name: str = ""
    #: "job", later "service".
    kind: str = ""
    port: int | None = None
    health: Health | None = None
    #: Hosts that it asks to reach; its owner grants them.
    egress: tuple[str, ...] = ()
    #: Five fields of cron; "" means none.
    schedule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a run may use; None means the installation's default."""

    cpus: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    pids: int | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What a framework makes of a source, and what the source's own `skep.yaml` puts over it."""

    #: "python", later "crewai", "langgraph", "node", ...
    framework: str
    #: The files that spoke for it.
    evidence: tuple[str, ...]
    #: How the agent is started, in /app; `python` is the environment's.
    command: tuple[str, ...]
    #: PEP 440 specifier of the Python versions that it takes; "" means any.
    requires_python: str = ""
    #: How its dependencies are installed.
    install: Install
    #: JSON Schema of the inputs, where the source tells; None means any object.
    inputs_schema: Mapping[str, Any] | None = None
    #: Environment that the framework, or the source, wants at run time.
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Names of secrets that the source wants as files.
    secrets: tuple[str, ...] = ()
    #: What the source wants to use.
    resources: Resources = field(default_factory=Resources)
    #: What runs it.
    language: Language = Language.PYTHON
    #: Versions of Node that it takes, as package.json writes them; "" means any.
    requires_node: str = ""
    #: Requirements (PEP 508) that the framework adds to those of the project.
    requirements: tuple[str, ...] = ()
    #: Files of the source whose requirements are added: requirements.txt or pyproject.toml of a folder.
    requirement_files: tuple[str, ...] = ()
    #: Commands (argv, in /app) that the project needs once its dependencies are there: `npm run build`.
    prepare: tuple[tuple[str, ...], ...] = ()
    declared: Declared = field(default_factory=Declared)
    #: Folders whose programs the agent finds before the machine's: of its environment, of its Node. The plan's word.
    path: tuple[str, ...] = ()
    #: What its owner should know: another framework that would have fitted, a key that nothing acts on yet.
    notices: tuple[str, ...] = ()

    @property
    def installs(self) -> bool:
        """Tell whether there is anything to install."""
        return self.install is not Install.NOTHING or bool(self.requirements or self.requirement_files)


class BuildStatus(StrEnum):
    """Where a build stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something failed, for its owner: a stable code, a sentence, what to do."""

    code: str
    message: str
    hint: str = ""


class LayerKind(StrEnum):
    """What a layer holds, and who may share it."""

    #: A version of Python or Node; shared by all.
    RUNTIME = "runtime"
    #: Dependencies from hash-checked wheels, written while nothing of a user's ran; shared by all.
    SHARED = "shared"
    #: A source; its project's own.
    SOURCE = "source"
    #: What code of a user's wrote: source distributions, the project itself, npm's scripts; its project's own.
    PRIVATE = "private"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A sealed layer of a machine, as it is kept account of."""

    id: LayerId
    node_id: str
    kind: LayerKind
    #: Whose it is; "" for layers that all projects share.
    project_id: str = ""
    #: In a few words for people: "57 packages for Python 3.11".
    about: str = ""
    #: Bytes on disk.
    size: int
    created_ms: int
    #: When a build last counted on it.
    used_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedLayer:
    """A layer that a build needs, as it is explained."""

    id: LayerId
    kind: LayerKind
    about: str
    #: True if it is there already and will be used again.
    there: bool
    #: Commands that make it.
    steps: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a build does, before it does it."""

    #: "Python 3.11.2 (the machine's)", "Node 24.19.0".
    runtimes: tuple[str, ...]
    #: How many packages come from hash-checked wheels, and go into a layer that all may share.
    shared: int = 0
    #: Packages that run code when they are installed, and so go into the project's own layer.
    private: tuple[str, ...] = ()
    layers: tuple[ExplainedLayer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One durable try to make an image from a source."""

    id: BuildId
    project_id: str
    #: For whom; the id of an agent, opaque here.
    agent_id: str
    source: Source
    #: Set over what is recognised: the agent's own command, if it has one.
    command: tuple[str, ...] = ()
    status: BuildStatus
    log_id: LogId
    node_id: str | None = None
    #: The sandbox of the attempt that goes on; committed before it is made.
    sandbox_id: SandboxId | None = None
    #: Grows by one with each attempt.
    attempt: int = 0
    #: "fetching", "planning", "installing", "sealing": what it is doing, for the progress display.
    step: str = ""
    image_id: ImageId | None = None
    #: Full hash of the commit that was fetched.
    commit: str = ""
    recognised: Recognised | None = None
    #: What would be built and how, once that is known.
    explanation: Explanation | None = None
    #: True: it ends once it is known what would be built; there is no image.
    explain: bool = False
    #: True: which packages are needed is found out anew, whatever an earlier build found out.
    upgrade: bool = False
    failure: Failure | None = None
    cancel_requested: bool = False
    created_ms: int
    started_ms: int | None = None
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built environment: layers over the base, and how it is started."""

    id: ImageId
    project_id: str
    node_id: str
    layers: tuple[LayerId, ...]
    #: Of the base that it was built on; another base means: build again.
    base_fingerprint: str
    recognised: Recognised
    source_digest: str
    commit: str
    size: int
    created_ms: int
