"""What the operator decides about builds, read once."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from skep.kernel.indexes import Indexes
from skep.kernel.settings import MIB, Settings, operator_indexes
from skep.product.gateway.model import Rule
from skep.product.gateway.policy import parse_rule, split_target
from skep.product.images.fetch.addresses import Leave, leave
from skep.product.sandboxes.model import Limits

_PIDS = 512
_OPEN_FILES = 4096
_HTTPS = 443
#: Where uv's list of copies of Python leads to, redirects included.
_PYTHON_RELEASES = (
    "releases.astral.sh",
    "github.com",
    "release-assets.githubusercontent.com",
    "objects.githubusercontent.com",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """Limits of builds, and where they may go."""

    limits: Limits
    timeout_s: float
    git_timeout_s: float
    source_limit_mb: int
    upload_limit_mb: int
    leave: Leave
    #: Where packages come from, as whom.
    indexes: Indexes
    #: What packages may be fetched from, each on its port; the named indexes' own come last.
    index_hosts: tuple[Rule, ...]
    #: What copies of Python may be fetched from.
    python_hosts: tuple[Rule, ...]
    #: host:port at any address.
    allow_private: tuple[Rule, ...]
    uv_version: str
    #: Builds of one project that are not over.
    max_unfinished: int
    #: Attempts that may be lost to crashes before the build is given up.
    max_attempts: int = 10

    @property
    def source_limit_bytes(self) -> int:
        """The largest source, unpacked."""
        return self.source_limit_mb * MIB

    @property
    def hidden(self) -> tuple[str, ...]:
        """What must not appear in a log: user and password of the indexes."""
        return self.indexes.hidden


def build_options(settings: Settings, *, uv_version: str) -> BuildOptions:
    """Return the part of *settings* that builds need.

    Raises:
        InvalidError: a host among the settings is none.
    """
    indexes = operator_indexes(settings)
    hosts = (*(parse_rule(host, _HTTPS) for host in settings.index_hosts), *map(_index_rule, indexes.named))
    return BuildOptions(
        limits=Limits(
            cpus=settings.default_cpus,
            memory_bytes=settings.build_memory_mb * MIB,
            disk_bytes=settings.build_disk_mb * MIB,
            pids=_PIDS,
            open_files=_OPEN_FILES,
            output_bytes=settings.output_limit_mb * MIB,
        ),
        timeout_s=settings.build_timeout_s,
        git_timeout_s=settings.git_timeout_s,
        source_limit_mb=settings.source_limit_mb,
        upload_limit_mb=settings.upload_limit_mb,
        leave=leave(settings.git_http_hosts, settings.git_ssh_hosts),
        indexes=indexes,
        index_hosts=tuple(dict.fromkeys(hosts)),
        python_hosts=_python_hosts(settings),
        allow_private=tuple(map(parse_rule, settings.egress_allow_private)),
        uv_version=uv_version,
        max_unfinished=settings.max_queued_per_project,
    )


def _python_hosts(settings: Settings) -> tuple[Rule, ...]:
    """Return the hosts of the operator's mirror and list; without a mirror uv goes to its releases, by redirects."""
    named = (settings.python_mirror, settings.python_downloads)
    own = [_index_rule(url) for url in named if url and url.startswith(("http://", "https://"))]
    if settings.python_downloads and not own:
        # A list that is a file may lead to any host: the operator names it with those of packages.
        own = [parse_rule(host, _HTTPS) for host in settings.index_hosts]
    public = () if settings.python_mirror else tuple(parse_rule(host, _HTTPS) for host in _PYTHON_RELEASES)
    return (*own, *public)


def _index_rule(url: str) -> Rule:
    parts = urlsplit(url)
    host, port = split_target(parts.netloc.rpartition("@")[2], 80 if parts.scheme == "http" else _HTTPS)
    return Rule(host=host, port=port)
