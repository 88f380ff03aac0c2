"""Rows of projects and tokens, the audit log, and the answers kept by Idempotency-Key."""

from collections.abc import Mapping
from functools import partial

from sqlalchemy import bindparam, delete, func, select, tuple_, update

from skep.adapters.storage.dialect import Dialect, insert_new, values_hold
from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.tables import audit_entries, kept_answers, projects, tokens
from skep.kernel.database import Tx
from skep.kernel.errors import ConflictError
from skep.kernel.paging import Page, PageQuery
from skep.product.access.model import AuditEntry, KeptAnswer, Project, ProjectId, Token, TokenId


class SqlAccessStore:
    """Implements `access.ports.AccessStore`."""

    def __init__(self) -> None:
        self._projects = Mapper(projects, Project)
        self._tokens = Mapper(tokens, Token)
        self._project_by_name = self._projects.by("name")
        self._token_by_digest = self._tokens.by("digest")
        self._note_use = (
            update(tokens)
            .where(
                tokens.c.id == bindparam("token_id"),
                func.coalesce(tokens.c.last_used_ms, 0) < bindparam("at_ms"),
            )
            .values(last_used_ms=bindparam("at_ms"))
        )
        self._revoke = (
            update(tokens)
            .where(tokens.c.id == bindparam("token_id"), tokens.c.revoked_ms.is_(None))
            .values(revoked_ms=bindparam("at_ms"))
        )

    def insert_project(self, tx: Tx, project: Project) -> None:
        """Add a project; `ConflictError(code="name_taken")` if the name is taken."""
        self._projects.insert(tx, project)

    def project(self, tx: Tx, project_id: ProjectId) -> Project | None:
        """Return the project of this id."""
        return self._projects.get(tx, project_id)

    def project_by_name(self, tx: Tx, name: str) -> Project | None:
        """Return the project of this name."""
        return self._projects.first(tx, self._project_by_name, {"name": name})

    def projects(self, tx: Tx, query: PageQuery) -> Page[Project]:
        """List projects, oldest first."""
        return self._projects.page(tx, query, newest_first=False, search=("id", "name"))

    def insert_token(self, tx: Tx, token: Token) -> None:
        """Add a token."""
        self._tokens.insert(tx, token)

    def token_by_digest(self, tx: Tx, digest: str) -> Token | None:
        """Return the token whose text has this SHA-256."""
        return self._tokens.first(tx, self._token_by_digest, {"digest": digest})

    def token(self, tx: Tx, token_id: TokenId) -> Token | None:
        """Return the token of this id."""
        return self._tokens.get(tx, token_id)

    def tokens(self, tx: Tx, project_id: ProjectId | None, query: PageQuery) -> Page[Token]:
        """List tokens of a project (None: all), oldest first."""
        where = () if project_id is None else (tokens.c.project_id == project_id,)
        return self._tokens.page(tx, query, *where, newest_first=False, search=("id", "name"))

    def note_uses(self, tx: Tx, uses: Mapping[TokenId, int]) -> None:
        """Keep when tokens were last used; what is known to be later stays."""
        # In one order: two servers that write the same rows must not wait for each other in a circle.
        on(tx).execute(self._note_use, [{"token_id": token_id, "at_ms": uses[token_id]} for token_id in sorted(uses)])

    def revoke_token(self, tx: Tx, token_id: TokenId, at_ms: int) -> None:
        """Make the token useless from now on; the time of the first call stays."""
        on(tx).execute(self._revoke, {"token_id": token_id, "at_ms": at_ms})


class SqlAuditStore:
    """Implements `access.ports.AuditStore`."""

    def __init__(self, dialect: Dialect) -> None:
        self._entries = Mapper(audit_entries, AuditEntry)
        self._in_details = partial(values_hold, dialect, audit_entries.c.details)
        oldest = select(audit_entries.c.id).order_by(audit_entries.c.id).limit(bindparam("limit"))
        self._prune = delete(audit_entries).where(
            audit_entries.c.id.in_(oldest), audit_entries.c.at_ms < bindparam("before_ms")
        )

    def append(self, tx: Tx, entry: AuditEntry) -> None:
        """Add a line."""
        self._entries.insert(tx, entry)

    def entries(self, tx: Tx, project_id: ProjectId | None, query: PageQuery) -> Page[AuditEntry]:
        """List lines, newest first; `query.status` looks at the result.

        `query.q` looks in action, resource, principal and the values of the details.
        """
        where = () if project_id is None else (audit_entries.c.project_id == project_id,)
        return self._entries.page(
            tx,
            query,
            *where,
            newest_first=True,
            time="at_ms",
            status="result",
            search=("action", "resource", "principal"),
            search_also=self._in_details,
        )

    def prune(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete the oldest lines as far as they are from before *before_ms*, at most *limit*; return how many."""
        return on(tx).execute(self._prune, {"before_ms": before_ms, "limit": limit}).rowcount


class SqlIdempotencyStore:
    """Implements `access.ports.IdempotencyStore`."""

    def __init__(self, dialect: Dialect) -> None:
        self._answers = Mapper(kept_answers, KeptAnswer)
        self._put = insert_new(dialect, kept_answers)
        old = (
            select(kept_answers.c.token_id, kept_answers.c.path, kept_answers.c.key)
            .where(kept_answers.c.created_ms < bindparam("before_ms"))
            .order_by(kept_answers.c.created_ms)
            .limit(bindparam("limit"))
        )
        key = tuple_(kept_answers.c.token_id, kept_answers.c.path, kept_answers.c.key)
        self._prune = delete(kept_answers).where(key.in_(old))

    def get(self, tx: Tx, token_id: TokenId, path: str, key: str) -> KeptAnswer | None:
        """Return the kept answer."""
        return self._answers.get(tx, token_id, path, key)

    def put(self, tx: Tx, answer: KeptAnswer) -> None:
        """Keep an answer; `ConflictError(code="idempotency_in_flight")` if the key has one already."""
        if on(tx).execute(self._put, self._answers.row(answer)).rowcount != 1:
            raise ConflictError(
                "another request with this Idempotency-Key was answered meanwhile",
                code="idempotency_in_flight",
                hint="Repeat the request: it will get the kept answer.",
            )

    def prune(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete answers kept before *before_ms*, at most *limit*; return how many."""
        return on(tx).execute(self._prune, {"before_ms": before_ms, "limit": limit}).rowcount
