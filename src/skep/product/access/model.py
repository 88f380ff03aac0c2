"""Who may do what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

ProjectId = NewType("ProjectId", str)
TokenId = NewType("TokenId", str)


class Scope(StrEnum):
    """What a token may be used for; each scope includes those below it, as `IMPLIES` says."""

    #: Everything, also tokens, projects, secrets, audit, doctor.
    ADMIN = "admin"
    #: Make, change, build and remove agents.
    OPERATE = "operate"
    #: Start, cancel and answer runs.
    INVOKE = "invoke"
    #: Look.
    READ = "read"
    #: Read the figures of the whole installation, and nothing else.
    METRICS = "metrics"


#: What each scope includes, itself among them.
IMPLIES: Mapping[Scope, frozenset[Scope]] = {
    Scope.ADMIN: frozenset(Scope),
    Scope.OPERATE: frozenset({Scope.OPERATE, Scope.INVOKE, Scope.READ}),
    Scope.INVOKE: frozenset({Scope.INVOKE, Scope.READ}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.METRICS: frozenset({Scope.METRICS}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What every row belongs to."""

    id: ProjectId
    name: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A credential; only the SHA-256 of its text is kept."""

    id: TokenId
    #: None: good for every project (only with the scope admin), or for what belongs to none (metrics).
    project_id: ProjectId | None
    name: str
    scopes: frozenset[Scope]
    digest: str
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    #: To the minute: a crash may lose the uses of the last one.
    last_used_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling, in which project, with which scopes."""

    token_id: TokenId
    name: str
    project_id: ProjectId
    scopes: frozenset[Scope]
    #: True if the token is good for every project.
    everywhere: bool = False
    #: Where the call came from, for the audit log.
    address: str = ""

    def may(self, scope: Scope) -> bool:
        """Tell whether the principal holds *scope*."""
        return any(scope in IMPLIES[held] for held in self.scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit log: who did what to what, and how it went."""

    id: str
    at_ms: int
    project_id: ProjectId | None
    principal: str
    action: str
    #: Id or name of the thing acted on.
    resource: str
    result: str = "ok"
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What a creating request was answered, kept under its Idempotency-Key."""

    token_id: TokenId
    path: str
    key: str
    #: SHA-256 of the request's body: another body under the same key is refused.
    body_digest: str
    status: int
    #: The answer's JSON text.
    body: str
    created_ms: int
