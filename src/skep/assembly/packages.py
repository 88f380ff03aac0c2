"""The mirrors of package indexes that all doors of builds share, and their cache."""

import ssl
from functools import partial
from pathlib import Path

from skep.adapters.blobs.files import free_bytes
from skep.adapters.blobs.packages import FolderPackages
from skep.kernel.clock import Clock
from skep.kernel.errors import InvalidError
from skep.kernel.settings import MIB, Settings
from skep.library import runtimes
from skep.product.blobs.space import Space
from skep.product.gateway.mirror.sites import Mirrors
from skep.product.gateway.model import Policy
from skep.product.gateway.resolver import SystemResolver
from skep.product.gateway.upstream import Upstream
from skep.product.images import refusals
from skep.product.images.options import build_options

_DAY_S = 86_400.0


def make_packages(settings: Settings, clock: Clock) -> FolderPackages:
    """Return the cache of package files in the state folder."""
    return FolderPackages(
        settings.state_dir / "packages",
        clock,
        limit_bytes=settings.package_cache_mb * MIB,
        keep_s=settings.keep_packages_days * _DAY_S,
    )


def make_mirrors(settings: Settings, packages: FolderPackages, clock: Clock) -> Mirrors:
    """Return the mirrors; they connect when they are asked.

    Raises:
        InvalidError: the certificate authorities cannot be read, or a host among the settings is none.
    """
    options = build_options(settings, uv_version="")
    hosts = options.index_hosts
    policy = Policy(allow=hosts, internal=hosts, private=options.allow_private, advice=refusals.while_installing(hosts))
    tls = _tls(settings.ca_file, options.indexes.authorities)
    upstream = Upstream(policy, SystemResolver(), clock, options.indexes.logins, tls)
    space = Space(free_bytes=partial(free_bytes, settings.state_dir), least_bytes=settings.min_free_disk_mb * MIB)
    return Mirrors(options.indexes, upstream, packages, clock, space=space)


def python_source(settings: Settings) -> runtimes.Source:
    """Return where the operator says that copies of Python are."""
    return runtimes.Source(mirror=settings.python_mirror or "", downloads=settings.python_downloads or "")


def _tls(ca_file: Path | None, authorities: str) -> ssl.SSLContext:
    """Return what servers are checked against: the bundle, or the machine's (SSL_CERT_FILE), and *authorities*."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
        if authorities:
            context.load_verify_locations(cadata=authorities)
    except (OSError, ssl.SSLError) as error:
        raise InvalidError(
            f"The certificate authorities cannot be read: {error.strerror or error}.",
            code="ca_file_invalid",
            hint="Correct SKEP_CA_FILE, or PIP_CERT and NODE_EXTRA_CA_CERTS.",
        ) from error
    return context
