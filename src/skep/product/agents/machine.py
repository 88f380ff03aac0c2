"""What an agent's state is, and what may be said about one; all pure."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from skep.kernel.errors import InvalidError
from skep.product.agents.model import (
    KEEP,
    NAME_PATTERN,
    Agent,
    AgentChange,
    AgentConfig,
    AgentLimits,
    AgentStatus,
    Resources,
)
from skep.product.agents.schema import check_schema
from skep.product.images.model import (
    Build,
    BuildStatus,
    FilesSource,
    GitSource,
    Image,
    ImageSource,
    Source,
    UploadSource,
)

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?")
#: Names that Skep itself gives to a run; an agent cannot set them.
RESERVED_ENV = re.compile(r"SKEP_.*|CREW_INPUT_JSON")
MAX_ENV = 200
MAX_ENV_BYTES = 131_072
MAX_ATTEMPTS = 10
_MIN_MEMORY_MB = 32
_MIN_DISK_MB = 16
_MIN_PIDS = 16

_NAME_HINT = "Use lower-case letters, digits and inner hyphens, at most 63 characters."


def status(agent: Agent, latest_build: Build | None) -> AgentStatus:
    """Derive the agent's status from its version and its latest build."""
    if agent.version_id is not None:
        return AgentStatus.READY
    if latest_build is None:
        return AgentStatus.NEW
    match latest_build.status:
        case BuildStatus.QUEUED | BuildStatus.RUNNING:
            return AgentStatus.BUILDING
        case BuildStatus.CANCELLED:
            return AgentStatus.NEW
        case BuildStatus.FAILED | BuildStatus.SUCCEEDED:
            return AgentStatus.BROKEN


def is_stale(build: Build, newest: Build | None) -> bool:
    """Tell whether a build that just succeeded must not replace what a later one made: the *newest* that succeeded."""
    return newest is not None and newest.id > build.id


def derive_name(source: Source) -> str:
    """Return the name that *source* suggests: its repository's, folder's or image's; "agent" if it has none."""
    match source:
        case GitSource(url=url, path=path):
            said = path.rstrip("/") or url.rstrip("/").removesuffix(".git")
        case UploadSource(label=label, path=path):
            said = path.rstrip("/") or label.rstrip("/")
        case ImageSource(name=name):
            said = name.split("@")[0]
            said = said if ":" not in said.rsplit("/", 1)[-1] else said.rsplit(":", 1)[0]
        case FilesSource():
            said = ""
    last = re.split(r"[/:\\]", said)[-1].lower()
    return re.sub(r"[^a-z0-9]+", "-", last)[:63].strip("-") or "agent"


def numbered(name: str, number: int) -> str:
    """Return *name* with a number behind it, still short enough to be a name."""
    tail = f"-{number}"
    return name[: 63 - len(tail)].rstrip("-") + tail


def may_renew(agent: Agent, image: Image, base: str, latest: Build | None) -> bool:
    """Tell whether *agent*, whose *image* is what runs, is to be built again because its machine stands on *base* now.

    Only if nothing was tried since that image was made: whatever came of that is its owner's business.
    """
    tried = latest is not None and latest.image_id != image.id
    return agent.removed_ms is None and image.base_fingerprint != base and not tried


def check_name(name: str) -> None:
    """Raise `InvalidError` unless *name* is a DNS label."""
    if NAME_PATTERN.fullmatch(name) is None:
        raise InvalidError(f"{name!r} is no name for an agent.", hint=_NAME_HINT, fields={"name": _NAME_HINT})


def changed(config: AgentConfig, change: AgentChange) -> AgentConfig:
    """Return *config* with all that *change* says."""
    said: dict[str, Any] = {}
    for field in fields(AgentConfig):
        value = getattr(change, field.name)
        if field.name == "inputs_schema":
            if value is not KEEP:
                said[field.name] = value
        elif value is not None:
            said[field.name] = value
    return replace(config, **said)


def check_config(config: AgentConfig, limits: AgentLimits) -> None:
    """Raise `InvalidError`, with every wrong field named, unless a version may be made of *config*."""
    wrong: dict[str, str] = {}
    wrong.update(_wrong_env(config.env))
    wrong.update(_wrong_secrets(config))
    wrong.update(_wrong_resources(config.resources, limits))
    if any("\0" in part for part in config.command) or (config.command and not config.command[0]):
        wrong["command"] = "must be a list of arguments, the first of them a program"
    for host in config.egress:
        if HOST.fullmatch(host) is None:
            wrong["egress"] = f"{host[:100]!r} is no host, host:port or *.host"
    if not 1 <= config.max_attempts <= MAX_ATTEMPTS:
        wrong["max_attempts"] = f"must be 1 to {MAX_ATTEMPTS}"
    if wrong:
        said = "; ".join(f"{name}: {why}" for name, why in wrong.items())
        raise InvalidError(f"The agent's configuration is not good: {said}.", code="config_invalid", fields=wrong)
    if config.inputs_schema is not None:
        check_schema(config.inputs_schema)


def _wrong_env(env: Mapping[str, str]) -> dict[str, str]:
    wrong: dict[str, str] = {}
    if len(env) > MAX_ENV or sum(len(name) + len(value.encode()) for name, value in env.items()) > MAX_ENV_BYTES:
        wrong["env"] = f"holds more than {MAX_ENV} variables or {MAX_ENV_BYTES} bytes"
    for name, value in env.items():
        if (why := _wrong_env_name(name)) is not None:
            wrong[f"env.{name[:128]}"] = why
        elif "\0" in value:
            wrong[f"env.{name}"] = "holds a NUL byte"
    return wrong


def _wrong_env_name(name: str) -> str | None:
    if ENV_NAME.fullmatch(name) is None:
        return "is no name of an environment variable"
    if RESERVED_ENV.fullmatch(name) is not None:
        return "is set by Skep"
    return None


def _wrong_secrets(config: AgentConfig) -> dict[str, str]:
    wrong: dict[str, str] = {}
    names = {*config.secrets, *config.env_from_secret.values()}
    if bad := sorted(name for name in names if SECRET_NAME.fullmatch(name) is None):
        wrong["secrets"] = f"{bad[0][:100]!r} is no name of a secret"
    for name in config.env_from_secret:
        if (why := _wrong_env_name(name)) is not None:
            wrong[f"env_from_secret.{name[:128]}"] = why
        elif name in config.env:
            wrong[f"env_from_secret.{name}"] = "stands in env already"
    return wrong


def _wrong_resources(resources: Resources, limits: AgentLimits) -> dict[str, str]:
    bounds: Mapping[str, tuple[float | None, float, float]] = {
        "cpus": (resources.cpus, 0.01, limits.max_cpus),
        "memory_mb": (resources.memory_mb, _MIN_MEMORY_MB, limits.max_memory_mb),
        "disk_mb": (resources.disk_mb, _MIN_DISK_MB, limits.max_disk_mb),
        "pids": (resources.pids, _MIN_PIDS, limits.max_pids),
        "timeout_s": (resources.timeout_s, 0.1, limits.max_timeout_s),
    }
    return {
        f"resources.{name}": f"must be {low:g} to {high:g}"
        for name, (value, low, high) in bounds.items()
        if value is not None and not low <= value <= high
    }
