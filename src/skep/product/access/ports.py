"""Where projects, tokens and the audit log are kept."""

from collections.abc import Mapping
from typing import Protocol

from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.access.model import AuditEntry, KeptAnswer, Project, ProjectId, Token, TokenId


class AccessStore(Protocol):
    """Rows of projects and tokens."""

    def insert_project(self, tx: Tx, project: Project) -> None:
        """Add a project; `ConflictError(code="name_taken")` if the name is taken."""
        ...

    def project(self, tx: Tx, project_id: ProjectId) -> Project | None:
        """Return the project of this id."""
        ...

    def project_by_name(self, tx: Tx, name: str) -> Project | None:
        """Return the project of this name."""
        ...

    def projects(self, tx: Tx, query: PageQuery) -> Page[Project]:
        """List projects, oldest first."""
        ...

    def insert_token(self, tx: Tx, token: Token) -> None:
        """Add a token."""
        ...

    def token_by_digest(self, tx: Tx, digest: str) -> Token | None:
        """Return the token whose text has this SHA-256."""
        ...

    def token(self, tx: Tx, token_id: TokenId) -> Token | None:
        """Return the token of this id."""
        ...

    def tokens(self, tx: Tx, project_id: ProjectId | None, query: PageQuery) -> Page[Token]:
        """List tokens of a project (None: all), oldest first."""
        ...

    def note_uses(self, tx: Tx, uses: Mapping[TokenId, int]) -> None:
        """Keep when tokens were last used; what is known to be later stays."""
        ...

    def revoke_token(self, tx: Tx, token_id: TokenId, at_ms: int) -> None:
        """Make the token useless from now on."""
        ...


class AuditStore(Protocol):
    """The audit log: appended to, never changed."""

    def append(self, tx: Tx, entry: AuditEntry) -> None:
        """Add a line."""
        ...

    def entries(self, tx: Tx, project_id: ProjectId | None, query: PageQuery) -> Page[AuditEntry]:
        """List lines, newest first; `query.q` looks in action, resource, principal, and in what details say."""
        ...

    def prune(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete the oldest lines as far as they are from before *before_ms*, at most *limit*; return how many."""
        ...


class IdempotencyStore(Protocol):
    """Answers kept by Idempotency-Key, written in the transaction of the effect that they answer."""

    def get(self, tx: Tx, token_id: TokenId, path: str, key: str) -> KeptAnswer | None:
        """Return the kept answer."""
        ...

    def put(self, tx: Tx, answer: KeptAnswer) -> None:
        """Keep an answer; `ConflictError(code="idempotency_in_flight")` if the key has one already."""
        ...

    def prune(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete answers kept before *before_ms*; return how many."""
        ...
