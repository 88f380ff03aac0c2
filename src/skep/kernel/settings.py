"""What the operator decides: read once, from arguments, `SKEP_*`, `.env` and `skep.toml`, in that order."""

import hashlib
import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from skep.kernel import operator_files
from skep.kernel.indexes import Indexes, with_own
from skep.kernel.operator_files import OperatorFiles

MIB = 1024 * 1024
#: How the launcher hands `Indexes` to the server; it holds credentials.
INDEXES_VARIABLE = "SKEP_OPERATOR_INDEXES"

#: A setting that is a list is written with commas: `SKEP_GIT_HTTP_HOSTS=git.lan,10.0.0.7:3000`.
CommaList = Annotated[tuple[str, ...], NoDecode]


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/skep")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")  # noqa: TID251  this is settings
    return Path(base) / "skep"


class Settings(BaseSettings):
    """All settings of one installation; each field is also documented in `docs/settings.md`."""

    model_config = SettingsConfigDict(
        env_prefix="SKEP_", env_file=".env", toml_file="skep.toml", extra="ignore", frozen=True
    )

    # ---- where and how the server listens
    host: str = Field(default="127.0.0.1", description="Address to listen on; anything but loopback must be asked for.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    tls_cert: Path | None = Field(
        default=None, description="Certificate chain (PEM); with `tls_key` the server speaks TLS."
    )
    tls_key: Path | None = Field(default=None, description="Private key (PEM) of `tls_cert`.")
    log_level: str = Field(default="info", description="debug, info, warning or error.")

    # ---- where things are kept
    data_dir: Path = Field(default_factory=_default_data_dir, description="Folder that holds everything.")
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://...; unset means SQLite in the data folder."
    )
    run_dir: Path = Field(default=Path("/run/skep"), description="Folder for sockets and mounts; gone after a reboot.")
    server_user: str = Field(default="skep", description="User that the server becomes when it is started by root.")

    # ---- limits of one run, unless the agent says otherwise
    default_cpus: float = Field(default=1.0, gt=0, description="Processors of a sandbox.")
    default_memory_mb: int = Field(default=512, ge=32, description="Memory of a sandbox, MiB.")
    default_disk_mb: int = Field(default=1024, ge=16, description="Writable disk of a sandbox, MiB.")
    default_pids: int = Field(default=256, ge=16, description="Processes and threads of a sandbox.")
    default_timeout_s: float = Field(default=3600, gt=0, description="Wall-clock limit of a run, seconds.")
    max_cpus: float = Field(default=16, gt=0, description="The most processors that an agent may ask for.")
    max_memory_mb: int = Field(default=16384, ge=32, description="The most memory that an agent may ask for, MiB.")
    max_disk_mb: int = Field(default=16384, ge=16, description="The most disk that an agent may ask for, MiB.")
    max_timeout_s: float = Field(
        default=86400, gt=0, description="The longest wall-clock limit that may be asked for, seconds."
    )
    ask_timeout_s: float = Field(
        default=604_800, gt=0, description="The longest that a run waits for a person's answer, seconds."
    )
    output_limit_mb: int = Field(
        default=10, ge=1, description="Kept output of one attempt, MiB: the first and last half."
    )
    artifact_limit_mb: int = Field(default=64, ge=0, description="Kept artifacts of one attempt, MiB.")

    # ---- how much at once
    max_sandboxes: int = Field(default=64, ge=1, description="Sandboxes that this machine holds at once.")
    max_runs: int = Field(default=16, ge=1, description="Runs that go on at once; one that waits for a person is none.")
    max_runs_per_project: int = Field(default=12, ge=1, description="Runs of one project that go on at once.")
    max_builds: int = Field(default=3, ge=1, description="Builds that go on at once.")
    max_builds_per_project: int = Field(default=2, ge=1, description="Builds of one project that go on at once.")
    max_queued_per_project: int = Field(
        default=10_000, ge=1, description="Runs of one project that may wait; and as many builds."
    )
    min_free_disk_mb: int = Field(default=512, ge=0, description="Below this much free disk new work is refused.")

    # ---- builds and sources
    build_timeout_s: float = Field(default=900, gt=0, description="Wall-clock limit of a build, seconds.")
    build_memory_mb: int = Field(default=2048, ge=128, description="Memory of a build's sandbox, MiB.")
    build_disk_mb: int = Field(default=8192, ge=128, description="Disk of a build's sandbox, MiB.")
    source_limit_mb: int = Field(default=512, ge=1, description="Largest repository or upload, MiB, unpacked.")
    upload_limit_mb: int = Field(default=256, ge=1, description="Largest upload, MiB, packed.")
    git_timeout_s: float = Field(default=120, gt=0, description="Time limit for fetching a repository, seconds.")
    git_http_hosts: CommaList = Field(
        default=(), description="host or host:port whose repositories may be fetched over plain http."
    )
    git_ssh_hosts: CommaList = Field(
        default=("github.com:22", "gitlab.com:22", "bitbucket.org:22"),
        description="host or host:port whose repositories may be fetched over ssh.",
    )
    git_known_hosts: Path | None = Field(
        default=None,
        description="File with ssh servers' keys (as ssh-keyscan writes it), read at start; it goes over what is kept.",
    )
    index_url: str | None = Field(
        default=None,
        description="Package index for builds; unset means what pip and uv are set to, else the public one.",
    )
    extra_index_urls: CommaList = Field(
        default=(),
        description="More package indexes, asked before `index_url`; unset means what pip and uv are set to.",
    )
    npm_registry: str | None = Field(
        default=None, description="npm registry for builds; unset means what npm is set to, else the public one."
    )
    index_hosts: CommaList = Field(
        default=("pypi.org", "files.pythonhosted.org", "registry.npmjs.org"),
        description="host or host:port (443 unless said) that packages come from besides the indexes' own.",
    )
    package_cache_mb: int = Field(
        default=4096, ge=0, description="Package files that are kept for all builds, MiB; 0 keeps none."
    )
    python_mirror: str | None = Field(
        default=None,
        description="Address of a mirror of uv's copies of Python (UV_PYTHON_INSTALL_MIRROR); unset means uv's own.",
    )
    python_downloads: str | None = Field(
        default=None,
        description="Path or address of a list of copies of Python (UV_PYTHON_DOWNLOADS_JSON_URL); unset means uv's. "
        "Hosts that a list in a file leads to belong into `index_hosts`.",
    )
    egress_allow_private: CommaList = Field(
        default=(), description="host:port that may be reached although the address is private or loopback."
    )
    ca_file: Path | None = Field(
        default=None, description="CA bundle that sandboxes trust; unset means SSL_CERT_FILE, else the system's."
    )

    # ---- retention
    idempotency_hours: float = Field(default=24, gt=0, description="How long an Idempotency-Key is remembered, hours.")
    keep_runs_days: float = Field(default=90, gt=0, description="How long ended runs are kept, days.")
    keep_packages_days: float = Field(
        default=30, gt=0, description="How long a package file is kept that no build asks for, days."
    )
    keep_versions: int = Field(
        default=10, ge=1, description="Images of so many newest versions of each agent are kept, beside what runs."
    )
    keep_layers_days: float = Field(
        default=7, ge=0, description="How long a layer that no image names waits to be used again, days."
    )
    layers_limit_mb: int = Field(
        default=0,
        ge=0,
        description="Above this much disk those layers go first that no image names and were used longest ago, MiB; "
        "0 means no limit.",
    )
    keep_audit_days: float = Field(default=365, gt=0, description="How long the audit log reaches back, days.")

    @field_validator(
        "git_http_hosts", "git_ssh_hosts", "extra_index_urls", "index_hosts", "egress_allow_private", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the name is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, that over `.env`, that over `skep.toml`."""
        return (init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls))

    # ---- derived places: the one list of what lies where
    @property
    def state_dir(self) -> Path:
        """The server's own folder (0700): database, blobs, logs, key."""
        return self.data_dir / "state"

    @property
    def keeper_dir(self) -> Path:
        """The keeper's folder (root's): layers and disk images."""
        return self.data_dir / "keeper"

    @property
    def admin_token_file(self) -> Path:
        """The first admin token (0600)."""
        return self.data_dir / "admin.token"

    @property
    def instance(self) -> str:
        """A short name of this installation on this machine, from its data folder's path."""
        return hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:12]

    @property
    def instance_run_dir(self) -> Path:
        """This installation's folder for sockets and mounts."""
        return self.run_dir / self.instance

    @property
    def keeper_socket(self) -> Path:
        """Where the keeper listens."""
        return self.instance_run_dir / "keeper.sock"


def operator_indexes(settings: Settings) -> Indexes:
    """Return the indexes for builds: the settings', else those of the operator's pip, uv and npm, else the public ones.

    The launcher read the operator's files and handed on what they say; without a launcher only variables are read.
    """
    environ = os.environ  # noqa: TID251  this is settings
    handed_on = environ.get(INDEXES_VARIABLE)
    found = Indexes.from_json(handed_on) if handed_on else operator_files.read(environ, OperatorFiles())
    return with_own(found, settings.index_url or None, settings.extra_index_urls, settings.npm_registry or None)
