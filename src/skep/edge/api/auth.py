"""Who is calling: every route declares the one scope that it needs."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from skep.edge.api.services import Services, services_of
from skep.kernel.errors import InvalidError, UnauthenticatedError
from skep.product.access.model import Principal, Scope
from skep.product.access.service import require

_PROJECT = re.compile(r"[A-Za-z0-9_-]{1,128}")
_HINT = "Send the header Authorization: Bearer skep_... (the first token is in admin.token of the data folder)."


@dataclass(frozen=True, slots=True)
class Needs:
    """The dependency of a route that needs a token with *scope*."""

    scope: Scope

    async def __call__(self, request: Request) -> Principal:
        """Return the principal that the route's own check has let in."""
        principal: Principal = request.state.principal
        return principal

    async def admit(self, request: Request) -> Principal:
        """Find out who is calling and whether they may; before the body is read."""
        services: Services = services_of(request)
        address = request.client.host if request.client else ""
        token = token_of(request)
        principal = await services.access.authenticate(token, project_of(request), address=address)
        request.state.principal = principal
        require(principal, self.scope)
        return principal


def needs(scope: Scope) -> Any:
    """Declare that a route needs *scope*."""
    return Depends(Needs(scope))


Reader = Annotated[Principal, needs(Scope.READ)]
Invoker = Annotated[Principal, needs(Scope.INVOKE)]
Operator = Annotated[Principal, needs(Scope.OPERATE)]
Admin = Annotated[Principal, needs(Scope.ADMIN)]
Scraper = Annotated[Principal, needs(Scope.METRICS)]


def token_of(request: Request) -> str:
    """Return the token of `Authorization: Bearer` or `X-Skep-Token`; two different ones are refused."""
    found = {text.strip() for text in request.headers.getlist("x-skep-token")}
    for header in request.headers.getlist("authorization"):
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer":
            found.add(value.strip())
    found.discard("")
    if not found:
        raise UnauthenticatedError("This needs a token.", code="token_missing", hint=_HINT)
    if len(found) > 1:
        raise UnauthenticatedError("Several tokens were sent.", code="token_ambiguous", hint="Send one token, once.")
    return found.pop()


def project_of(request: Request) -> str | None:
    """Return the project that is asked for: header `X-Skep-Project` or argument `project`."""
    asked = {*request.headers.getlist("x-skep-project"), *request.query_params.getlist("project")}
    if not asked:
        return None
    if len(asked) > 1:
        raise InvalidError("Several projects were asked for.", fields={"project": "name one"})
    project = asked.pop()
    if _PROJECT.fullmatch(project) is None:
        raise InvalidError("That is no project's id or name.", fields={"project": "letters, digits, - and _"})
    return project
