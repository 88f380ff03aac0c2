"""Tokens, projects, the audit log."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from skep.edge.wire import texts
from skep.edge.wire.common import Answer, Name, RequestBody, Time
from skep.product.access.model import Scope

_TokenName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=texts.LABEL.pattern)]


class CreateToken(RequestBody):
    """`POST /tokens`."""

    name: _TokenName
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]
    #: Seconds until it is no longer good; left out means never.
    expires_s: Annotated[float, Field(ge=1, le=315_360_000)] | None = None
    #: Good for every project; only with the scope admin, and only from such a token. One for metrics always is.
    everywhere: bool = False


class TokenView(Answer):
    """A token without its text."""

    id: str
    name: str
    #: Null: good for every project.
    project_id: str | None = None
    scopes: list[Scope]
    created_at: Time
    expires_at: Time | None = None
    revoked_at: Time | None = None
    #: Null: never, as far as is known. To the minute.
    last_used_at: Time | None = None


class TokenCreated(TokenView):
    """A token with its text, which is shown only in this answer."""

    token: str


class CreateProject(RequestBody):
    """`POST /projects`."""

    name: Name


class ProjectView(Answer):
    """What every thing belongs to."""

    id: str
    name: str
    created_at: Time


class AuditView(Answer):
    """One line of the audit log."""

    id: str
    at: Time
    project_id: str | None = None
    principal: str
    action: str
    resource: str
    result: str
    details: dict[str, Any]
    address: str = ""
