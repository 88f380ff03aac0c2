"""Who may do what: tokens become principals, and every action is written down."""

import hashlib
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Also, Database, Tx
from skep.kernel.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
)
from skep.kernel.ids import IdSource
from skep.kernel.paging import Page, PageQuery
from skep.kernel.secret import Secret
from skep.product.access.machine import choose_project, refusal
from skep.product.access.model import AuditEntry, Principal, Project, ProjectId, Scope, Token, TokenId
from skep.product.access.ports import AccessStore, AuditStore
from skep.product.access.recent import Recent
from skep.product.access.uses import Uses

DEFAULT_PROJECT = "default"
TOKEN_PATTERN = re.compile(r"skep_[A-Za-z0-9_-]{43}")
PROJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MAX_LIFETIME_S = 315_360_000.0


def require(principal: Principal, scope: Scope) -> None:
    """Raise `ForbiddenError` unless *principal* holds *scope*."""
    if not principal.may(scope):
        held = ", ".join(sorted(principal.scopes)) or "none"
        raise ForbiddenError(
            f"This needs the scope {scope.value}; the token {principal.name} has: {held}.",
            code="scope_missing",
            hint=f"Use a token with the scope {scope.value}: skep token create NAME --scope {scope.value}",
        )


def require_everywhere(principal: Principal) -> None:
    """Raise `ForbiddenError` unless *principal*'s token is good for every project."""
    if not principal.everywhere:
        raise ForbiddenError(
            "This needs a token that is good for every project.",
            code="project_forbidden",
            hint="Use the admin token of the installation.",
        )


def digest(token: str) -> str:
    """Return what is stored of a token: it has 256 random bits, so a plain hash is enough, and found by an index."""
    return hashlib.sha256(token.encode()).hexdigest()


class AccessService:
    """Projects, tokens and the audit log."""

    def __init__(self, db: Database, access: AccessStore, audit: AuditStore, clock: Clock, ids: IdSource) -> None:
        self._db = db
        self._access = access
        self._audit = audit
        self._clock = clock
        self._ids = ids
        self._recent = Recent(clock)
        self._uses = Uses(db, access)

    # ---- who is calling

    async def authenticate(self, token: str, project: str | None = None, *, address: str = "") -> Principal:
        """Return who holds *token*, acting in *project* (id or name; None: the token's own, or `default`).

        Raises:
            UnauthenticatedError: the token is not known, revoked or expired.
            ForbiddenError: the token belongs to another project.
            NotFoundError: there is no such project (told only to a token that is good everywhere).
        """
        if TOKEN_PATTERN.fullmatch(token) is None:
            raise _not_good("The token is not one of this installation's.", "token_invalid")
        key = (digest(token), project)
        known = self._recent.get(key)
        if known is None:
            ticket = self._recent.ticket()
            known = await self._db.read(lambda tx: self._look_up(tx, *key))
            self._recent.put(key, known, ticket)
        held, principal = known
        now_ms = to_ms(self._clock.now())
        if reason := refusal(held, now_ms):
            raise _not_good(f"The token {held.name} is {reason}.", f"token_{reason}")
        self._uses.note(held.id, now_ms)
        return replace(principal, address=address)

    def _look_up(self, tx: Tx, token_digest: str, selector: str | None) -> tuple[Token, Principal]:
        token = self._access.token_by_digest(tx, token_digest)
        if token is None:
            raise _not_good("The token is not one of this installation's.", "token_invalid")
        if Scope.METRICS in token.scopes:
            selector = None  # it acts in no project, so it is told of none
        wanted = selector or (token.project_id if token.project_id is not None else DEFAULT_PROJECT)
        found = self._access.project(tx, ProjectId(wanted)) or self._access.project_by_name(tx, wanted)
        project_id = choose_project(token, wanted, found)
        return token, Principal(
            token_id=token.id,
            name=token.name,
            project_id=project_id,
            scopes=token.scopes,
            everywhere=token.project_id is None,
        )

    async def keep_uses(self) -> None:
        """Write when tokens were last used; to be called now and then.

        Raises:
            UnavailableError: the database is away; nothing is forgotten.
        """
        await self._uses.keep()

    # ---- tokens

    async def first_token(self, keep: Callable[[Secret[str]], None]) -> Secret[str] | None:
        """Make the project `default` and an admin token when there is no token at all; else return None.

        Args:
            keep: called with the token before it is committed: what is lost then is a token that is good for nothing.
        """
        if not await self._db.read(self._is_fresh):
            return None
        text = _new_token()
        keep(text)

        def work(tx: Tx) -> Secret[str] | None:
            if not self._is_fresh(tx):
                return None
            if self._access.project_by_name(tx, DEFAULT_PROJECT) is None:
                self._access.insert_project(tx, self._new_project(DEFAULT_PROJECT))
            token = self._new_token_row("first", text, frozenset({Scope.ADMIN}), None, None)
            self._access.insert_token(tx, token)
            self.record(tx, None, "token.create", token.id, name=token.name, scopes=["admin"], everywhere=True)
            return text

        return await self._db.write(work)

    def _is_fresh(self, tx: Tx) -> bool:
        return not self._access.tokens(tx, None, PageQuery(limit=1)).items

    async def create_token(
        self,
        principal: Principal,
        name: str,
        scopes: Collection[Scope],
        expires_s: float | None = None,
        also: Also[tuple[Token, Secret[str]]] | None = None,
        *,
        everywhere: bool = False,
    ) -> tuple[Token, Secret[str]]:
        """Make a token for the principal's project, or *everywhere*; its text is told only now.

        A token for metrics belongs to no project: the figures are those of the installation.
        """
        require(principal, Scope.ADMIN)
        everywhere = everywhere or Scope.METRICS in scopes
        if everywhere:
            require_everywhere(principal)
        _check_token(name, scopes, expires_s, everywhere=everywhere)
        text = _new_token()
        project_id = None if everywhere else principal.project_id
        token = self._new_token_row(name, text, frozenset(scopes), project_id, expires_s)

        def work(tx: Tx) -> None:
            self._access.insert_token(tx, token)
            details: dict[str, Any] = {"name": name, "scopes": sorted(scopes), "everywhere": everywhere}
            self.record(tx, principal, "token.create", token.id, **details)
            if also is not None:
                also(tx, (token, text))

        await self._db.write(work)
        return token, text

    async def tokens(self, principal: Principal, query: PageQuery, *, all_projects: bool = False) -> Page[Token]:
        """List the tokens of the principal's project, or all of them."""
        require(principal, Scope.ADMIN)
        if all_projects:
            require_everywhere(principal)
        project_id = None if all_projects else principal.project_id
        page = await self._db.read(lambda tx: self._access.tokens(tx, project_id, query))
        return replace(page, items=[self._uses.seen(token) for token in page.items])

    async def revoke(self, principal: Principal, token_id: TokenId) -> None:
        """Make a token useless: at once in this process, within seconds in others."""
        require(principal, Scope.ADMIN)
        if token_id == principal.token_id:
            raise ConflictError(
                "A token cannot revoke itself: nobody might be left to let you in.",
                code="own_token",
                hint="Make another admin token, and revoke this one with it.",
            )

        def work(tx: Tx) -> None:
            token = self._access.token(tx, token_id)
            if token is None or not (principal.everywhere or token.project_id == principal.project_id):
                raise NotFoundError(f"There is no token {token_id}.", hint="skep token list shows them.")
            if token.revoked_ms is None:
                self._access.revoke_token(tx, token_id, to_ms(self._clock.now()))
                self.record(tx, principal, "token.revoke", token_id, name=token.name)

        await self._db.write(work)
        self._recent.forget(token_id)

    # ---- projects

    async def create_project(self, principal: Principal, name: str, also: Also[Project] | None = None) -> Project:
        """Add a project; `ConflictError` if the name is taken."""
        require(principal, Scope.ADMIN)
        require_everywhere(principal)
        if PROJECT_NAME.fullmatch(name) is None:
            hint = "Use lower-case letters, digits and inner hyphens, at most 63 characters."
            raise InvalidError(f"{name!r} is no name for a project.", hint=hint, fields={"name": hint})
        project = self._new_project(name)

        def work(tx: Tx) -> None:
            self._access.insert_project(tx, project)
            self.record(tx, replace(principal, project_id=project.id), "project.create", project.id, name=name)
            if also is not None:
                also(tx, project)

        await self._db.write(work)
        return project

    async def projects(self, principal: Principal, query: PageQuery) -> Page[Project]:
        """List the projects that the principal's token is good for."""
        require(principal, Scope.READ)
        if principal.everywhere:
            return await self._db.read(lambda tx: self._access.projects(tx, query))
        own = await self._db.read(lambda tx: self._access.project(tx, principal.project_id))
        return Page(items=[own] if own is not None else [])

    # ---- the audit log

    async def audit_log(
        self, principal: Principal, query: PageQuery, *, all_projects: bool = False
    ) -> Page[AuditEntry]:
        """List what was done in the principal's project, or anywhere; newest first."""
        require(principal, Scope.ADMIN)
        if all_projects:
            require_everywhere(principal)
        project_id = None if all_projects else principal.project_id
        return await self._db.read(lambda tx: self._audit.entries(tx, project_id, query))

    def record(
        self,
        tx: Tx,
        principal: Principal | None,
        action: str,
        resource: str,
        *,
        project_id: ProjectId | None = None,
        **details: Any,
    ) -> None:
        """Append to the audit log inside *tx*; without a principal it was Skep itself, on behalf of *project_id*."""
        now_ms = to_ms(self._clock.now())
        self._audit.append(
            tx,
            AuditEntry(
                id=self._ids.new("aud", now_ms),
                at_ms=now_ms,
                project_id=principal.project_id if principal else project_id,
                principal=f"{principal.name} ({principal.token_id})" if principal else "skep",
                action=action,
                resource=resource,
                details=details,
                address=principal.address if principal else "",
            ),
        )

    def _new_project(self, name: str) -> Project:
        now_ms = to_ms(self._clock.now())
        return Project(id=ProjectId(self._ids.new("prj", now_ms)), name=name, created_ms=now_ms)

    def _new_token_row(
        self,
        name: str,
        text: Secret[str],
        scopes: frozenset[Scope],
        project_id: ProjectId | None,
        expires_s: float | None,
    ) -> Token:
        now_ms = to_ms(self._clock.now())
        return Token(
            id=TokenId(self._ids.new("tok", now_ms)),
            project_id=project_id,
            name=name,
            scopes=scopes,
            digest=digest(text.reveal()),
            created_ms=now_ms,
            expires_ms=None if expires_s is None else now_ms + round(expires_s * 1000),
        )


def _new_token() -> Secret[str]:
    return Secret("skep_" + secrets.token_urlsafe(32))


def _not_good(message: str, code: str) -> UnauthenticatedError:
    return UnauthenticatedError(message, code=code, hint="Send a good one: Authorization: Bearer skep_...")


def _check_token(name: str, scopes: Collection[Scope], expires_s: float | None, *, everywhere: bool) -> None:
    fields: dict[str, str] = {}
    if not name or len(name) > 100 or not name.isprintable():
        fields["name"] = "1 to 100 printable characters"
    if not scopes:
        fields["scopes"] = "at least one of " + ", ".join(Scope)
    elif Scope.METRICS in scopes and len(set(scopes)) > 1:
        fields["scopes"] = "metrics stands alone: the figures belong to no project; admin includes it"
    elif everywhere and not {Scope.ADMIN, Scope.METRICS} & set(scopes):
        fields["everywhere"] = "only a token with the scope admin can be good for every project"
    if expires_s is not None and not 1 <= expires_s <= _MAX_LIFETIME_S:
        fields["expires_s"] = f"1 to {_MAX_LIFETIME_S:.0f} seconds"
    if fields:
        raise InvalidError("The token cannot be made like this.", fields=fields)
