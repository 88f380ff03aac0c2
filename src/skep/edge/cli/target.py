"""Which server a command speaks to: `SKEP_URL` and `SKEP_TOKEN`, else the installation on this machine."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from skep.edge.cli import screen
from skep.edge.cli.launch import pids
from skep.edge.client import ApiError, SkepClient
from skep.kernel.errors import SkepError, UnauthenticatedError, UnavailableError
from skep.kernel.secret import Secret
from skep.kernel.settings import Settings

T = TypeVar("T")

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_OF_THE_MACHINE = Path("/var/lib/skep")


class Caller(BaseSettings):
    """What the user says about the server to call: environment only, never a file of the working folder.

    A `.env` in somebody's repository must not send a token anywhere.
    """

    model_config = SettingsConfigDict(env_prefix="SKEP_", extra="ignore")

    url: str | None = None
    token: SecretStr | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server, and the credential for it."""

    url: str
    token: Secret[str]
    project: str | None = None
    tls: ssl.SSLContext | None = None


#: What `skep --url` and `skep --project` said.
chosen: ContextVar[Caller | None] = ContextVar("chosen", default=None)


def target() -> Target:
    """Find the server and the token.

    Raises:
        UnavailableError: none runs here and none was named.
        UnauthenticatedError: there is no token for it.
    """
    caller = chosen.get() or Caller()
    given = caller.token.get_secret_value() if caller.token else None
    if caller.url and given:
        return Target(url=caller.url, token=Secret(given), project=caller.project)
    local = _local()
    if caller.url and (local is None or not same_server(caller.url, str(local[1]["url"]))):
        raise UnauthenticatedError(f"there is no token for {caller.url}", hint="set SKEP_TOKEN", code="no_token")
    if local is None:
        raise UnavailableError(
            f"no server runs on this machine (looked into {Settings().data_dir})",
            code="not_running",
            hint="start one with `skep up`, or name one with SKEP_URL and SKEP_TOKEN",
        )
    folder, about = local
    tls = pinned(about["certificate"]) if "certificate" in about else None
    token = given or _read_token(folder)
    # What the launcher wrote, not what the user did: a name may lead elsewhere, and there the token must not go.
    return Target(url=str(about["url"]), token=Secret(token), project=caller.project, tls=tls)


def _local() -> tuple[Path, dict[str, Any]] | None:
    """Return the data folder of the installation that runs on this machine, and what its launcher wrote about it."""
    for folder in folders(Settings()):
        about = server_json(folder)
        if about is not None:
            return folder, about
    return None


def folders(settings: Settings) -> tuple[Path, ...]:
    """Return the data folders to look into: who names one means no other server's agents."""
    named = "data_dir" in settings.model_fields_set
    return (settings.data_dir,) if named else (settings.data_dir, _OF_THE_MACHINE)


def same_server(url: str, own: str) -> bool:
    """Tell whether *url* means this machine's own server, which is at *own*."""
    try:
        named, known = urlsplit(url), urlsplit(own)
        ports = named.port, known.port
    except ValueError:
        return False
    hosts = {named.hostname, known.hostname}
    return (
        (named.scheme, ports[0], named.path.rstrip("/")) == (known.scheme, ports[1], "")
        and named.username is None
        and (len(hosts) == 1 or hosts <= _LOOPBACK)
    )


def server_json(folder: Path) -> dict[str, Any] | None:
    """Read what the launcher wrote; a file that is not root's was not written by it.

    What a launcher left that was killed does not count: by now the port may be somebody's who wants the token.
    """
    path = folder / "server.json"
    try:
        if path.stat().st_uid != 0:
            return None
        about = dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None
    launcher = pids.read(f"{about.get('run_dir', '')}/launcher")
    others_are_hidden = not Path("/proc/1/stat").exists()
    return about if launcher is not None and (launcher.alive or others_are_hidden) else None


def _read_token(folder: Path) -> str:
    path = folder / "admin.token"
    try:
        token = path.read_text().strip()
    except OSError:
        token = ""
    if not token:
        raise UnauthenticatedError(f"{path} cannot be read", code="no_token", hint="set SKEP_TOKEN")
    return token


def pinned(certificate: str) -> ssl.SSLContext:
    """Trust exactly the first certificate of a chain: the local server's own, whatever name it is for."""
    end = "-----END CERTIFICATE-----"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate[: certificate.index(end) + len(end)] + "\n")
    return context


def _waits(error: SkepError) -> None:
    """Say why nothing comes; a program that asked for JSON gets the error alone, at the end."""
    if screen.wants_json():
        return
    why = f"cannot work yet ({error.code})" if isinstance(error, ApiError) else "does not answer"
    screen.say(f"the server {why}: waiting, Ctrl-C gives up", style="yellow")


def call(act: Callable[[SkepClient], Awaitable[T]]) -> T:
    """Connect to the server, do what *act* does, and return what it returns."""
    where = target()

    async def connected() -> T:
        token = where.token.reveal()
        async with SkepClient(where.url, token, where.project, tls=where.tls, waiting=_waits) as client:
            return await act(client)

    return asyncio.run(connected())
