"""What `skep deploy` was asked for, and what that makes of an agent that is there, or is not there yet. Pure."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from skep.edge.cli import sources
from skep.edge.wire.agents import AgentView, ChangeAgent, CreateAgent
from skep.edge.wire.sources import GitView, SourceBody

#: What is kept of a repository, by the options that say it; what an empty one clears.
_KEPT = {"ref": "--ref", "path": "--path", "secret": "--git-secret"}
_CLEARED = ("ref", "path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line; what was not mentioned is absent."""

    name: str
    env: dict[str, str]
    secrets: list[str]
    env_from_secret: dict[str, str]
    resources: dict[str, Any]
    #: Empty takes it back.
    command: list[str] | None
    egress: list[str]
    #: Names of variables, secrets and hosts that are taken back before any is added.
    unset: frozenset[str] = frozenset()
    attempts: int | None
    #: 0 ends it.
    poll_s: float | None


def new(wish: Wish, source: SourceBody) -> CreateAgent:
    """Return the agent to make where there is none of the name."""
    given = {
        "env": wish.env,
        "secrets": wish.secrets,
        "env_from_secret": wish.env_from_secret,
        "resources": wish.resources,
        "command": wish.command,
        "egress": wish.egress,
        "max_attempts": wish.attempts,
        "poll_s": wish.poll_s,
    }
    chosen = {key: value for key, value in given.items() if value}
    return CreateAgent.model_validate({"name": wish.name, "source": source, **chosen})


def changes(existing: AgentView, wish: Wish, source: SourceBody) -> ChangeAgent:
    """Decide what to change: the source always, of the rest what was asked for and differs."""
    resources = existing.resources.model_dump(exclude_none=True)
    wanted: dict[str, tuple[Any, Any]] = {
        "env": (existing.env, _left(existing.env, wish) | wish.env),
        "secrets": (existing.secrets, _joined(existing.secrets, wish.secrets, wish)),
        "env_from_secret": (existing.env_from_secret, _left(existing.env_from_secret, wish) | wish.env_from_secret),
        "resources": (resources, resources | wish.resources),
        "command": (existing.command, existing.command if wish.command is None else wish.command),
        "egress": (existing.egress, _joined(existing.egress, wish.egress, wish)),
        "max_attempts": (existing.max_attempts, wish.attempts or existing.max_attempts),
    }
    differs: dict[str, Any] = {key: new for key, (old, new) in wanted.items() if old != new}
    if wish.poll_s is not None:
        differs["poll_s"] = wish.poll_s or None
    return ChangeAgent.model_validate({"source": sources.kept(existing.source, source), **differs})


def told(existing: AgentView, wish: Wish, source: SourceBody) -> Iterator[str]:
    """Say what may not have been meant: what stays untyped, gives way to a folder, or is not there to be taken back."""
    if existing.source.git is not None and source.git is None:
        yield from _replaced(existing, existing.source.git, source.label)
    kept = sources.unsaid(existing.source, source)
    if kept:
        words = " ".join(f"{_KEPT[name]} {shlex.quote(value)}" for name, value in kept.items())
        clearing = " ".join(f'{_KEPT[name]} ""' for name in kept if name in _CLEARED)
        yield f"kept from before: {words}" + (f"; {clearing} clears it" if clearing else "")
    there = {*existing.env, *existing.secrets, *existing.env_from_secret, *existing.egress}
    for name in sorted(wish.unset - there):
        yield f"--unset {name}: the agent has nothing of that name"


def _replaced(existing: AgentView, git: GitView, label: str) -> Iterator[str]:
    """Say that an agent's repository gives way, and how to go back."""
    poll = f"{existing.poll.every_s:g}s" if existing.poll else None
    before = {"--ref": git.ref, "--path": git.path, "--git-secret": git.secret, "--poll": poll}
    options = [word for option, value in before.items() if value for word in (option, value)]
    yield f"{existing.name} was made from {git.url}, and is made from the folder {label} now"
    yield f"to go back: {shlex.join(['skep', 'deploy', git.url, '--name', existing.name, *options])}"


def _left(old: dict[str, str], wish: Wish) -> dict[str, str]:
    return {name: value for name, value in old.items() if name not in wish.unset}


def _joined(old: list[str], new: list[str], wish: Wish) -> list[str]:
    return list(dict.fromkeys((*(name for name in old if name not in wish.unset), *new)))
