"""What the hosts of repositories send to a webhook: their headers and bodies become values. Untrusted, and bounded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from skep.kernel.errors import InvalidError
from skep.product.agents.webhooks import Proof, RefChange, RefKind

#: A push of very many names tells of the first of them only.
_MAX_CHANGES = 100
_MAX_TOKEN = 1000
#: Each host's word for "what happened", the most telling first: Gitea and Forgejo also send GitHub's.
_EVENT_HEADERS = ("x-gitea-event", "x-github-event", "x-gitlab-event", "x-event-key")
_DELIVERY_HEADERS = (
    "x-github-delivery",
    "x-gitea-delivery",
    "x-forgejo-delivery",
    "idempotency-key",
    "x-gitlab-event-uuid",
    "x-request-uuid",
)
_PUSHES = frozenset({"push", "Push Hook", "Tag Push Hook", "repo:push", "repo:refs_changed"})
_PINGS = frozenset({"ping", "diagnostics:ping"})
_KINDS = {"refs/heads/": RefKind.BRANCH, "refs/tags/": RefKind.TAG}
_WORDS = {kind.value: kind for kind in RefKind}
_NO_COMMIT = {"", "0" * 40, "0" * 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a delivery is."""

    event: str
    #: Ids by which it would be known if it came again.
    ids: tuple[str, ...] = ()

    @property
    def is_ping(self) -> bool:
        """Tell whether somebody only tries whether we are here."""
        return self.event in _PINGS

    @property
    def is_push(self) -> bool:
        """Tell whether names in the repository have changed."""
        return self.event in _PUSHES


def proof(headers: Mapping[str, str]) -> Proof:
    """Return what a delivery shows for itself, in whichever host's way."""
    # Bitbucket's X-Hub-Signature is SHA-256; GitHub's old one of that name is SHA-1, and not taken.
    for name in ("x-hub-signature-256", "x-hub-signature"):
        kind, _, signature = headers.get(name, "").partition("=")
        if kind == "sha256":
            return Proof(signature=signature[:_MAX_TOKEN])
    return Proof(
        signature=headers.get("x-gitea-signature", headers.get("x-forgejo-signature", ""))[:_MAX_TOKEN],
        token=headers.get("x-gitlab-token", "")[:_MAX_TOKEN],
    )


def news(headers: Mapping[str, str], digest: str) -> News:
    """Return what a delivery is; *digest* is that of its body if that is signed: by it it is known again, else ""."""
    event = next((headers[name] for name in _EVENT_HEADERS if name in headers), "")
    ids = [f"{name}:{headers[name]}" for name in _DELIVERY_HEADERS if headers.get(name)]
    if digest:
        ids.append(f"body:{digest}")
    return News(event=event[:100], ids=tuple(ids))


def changes(event: str, body: bytes) -> Sequence[RefChange]:
    """Read which names mean something else now.

    Raises:
        InvalidError: `hook_invalid`: it is none of the forms that are known.
    """
    try:
        told: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _odd("it is no JSON; choose the content type application/json where the webhook is set up") from error
    if not isinstance(told, dict):
        raise _odd("it is no JSON object")
    fields = cast("dict[str, Any]", told)
    match event:
        case "repo:push":
            return _bitbucket(fields)
        case "repo:refs_changed":
            return _bitbucket_server(fields)
        case _:
            return _github(fields)


def _github(told: Mapping[str, Any]) -> Sequence[RefChange]:
    """Read a push of GitHub, Gitea, Forgejo or GitLab: they differ in where the default branch is told."""
    kind, name = _named(_text(told, "ref"))
    if kind is None:
        return ()
    commit = _text(told, "checkout_sha") or _text(told, "after")
    if _text(told, "after") in _NO_COMMIT:
        commit = ""
    branch = _text(_object(told, "repository"), "default_branch") or _text(_object(told, "project"), "default_branch")
    return (RefChange(kind=kind, name=name, commit=commit, default=name == branch if branch else None),)


def _bitbucket(told: Mapping[str, Any]) -> Sequence[RefChange]:
    found: list[RefChange] = []
    for change in _objects(_object(told, "push"), "changes"):
        now, before = _object(change, "new"), _object(change, "old")
        kind, name = _text(now or before, "type"), _text(now or before, "name")
        if kind in _WORDS and name:
            found.append(RefChange(kind=_WORDS[kind], name=name, commit=_text(_object(now, "target"), "hash")))
    return found


def _bitbucket_server(told: Mapping[str, Any]) -> Sequence[RefChange]:
    found: list[RefChange] = []
    for change in _objects(told, "changes"):
        kind, name = _named(_text(_object(change, "ref"), "id"))
        commit = _text(change, "toHash")
        if kind is not None:
            found.append(RefChange(kind=kind, name=name, commit="" if commit in _NO_COMMIT else commit))
    return found


def _named(ref: str) -> tuple[RefKind | None, str]:
    for prefix, kind in _KINDS.items():
        if ref.startswith(prefix) and len(ref) > len(prefix):
            return kind, ref.removeprefix(prefix)
    return None, ""


def _object(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _objects(told: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    value: Any = told.get(name)
    items = cast("list[Any]", value)[:_MAX_CHANGES] if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", item) for item in items if isinstance(item, dict)]


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) and len(value) <= 1000 and "\0" not in value else ""


def _odd(why: str) -> InvalidError:
    return InvalidError(f"The delivery cannot be read: {why}.", code="hook_invalid")
