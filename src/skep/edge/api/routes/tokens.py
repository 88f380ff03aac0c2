"""/tokens and /audit: who may do what, and who did."""

from typing import Annotated

from fastapi import Request, Response

from skep.edge.api import render
from skep.edge.api.auth import Admin, project_of
from skep.edge.api.idempotency import Creating
from skep.edge.api.query import paging
from skep.edge.api.routing import Uses, native
from skep.edge.wire.access import AuditView, CreateToken, TokenCreated, TokenView
from skep.edge.wire.common import Listing
from skep.kernel.paging import PageQuery
from skep.kernel.secret import Secret
from skep.product.access.model import Principal, Token, TokenId

router = native("access")


@router.get("/tokens")
async def list_tokens(
    request: Request, caller: Admin, uses: Uses, query: Annotated[PageQuery, paging()]
) -> Listing[TokenView]:
    """List tokens, without their text; the installation's admin sees all unless it names a project."""
    page = await uses.access.tokens(caller, query, all_projects=_all_projects(request, caller))
    return render.listing(page, render.token)


@router.post("/tokens", status_code=201, response_model=TokenCreated)
async def create_token(caller: Admin, uses: Uses, once: Creating, body: CreateToken) -> Response:
    """Make a token for the project; its text is in this answer only."""
    return await once.answer(
        201,
        lambda also: uses.access.create_token(
            caller, body.name, body.scopes, body.expires_s, also, everywhere=body.everywhere
        ),
        _created,
        sealed=True,
    )


@router.delete("/tokens/{token}", status_code=204)
async def revoke_token(caller: Admin, uses: Uses, token: str) -> Response:
    """Make a token useless, at once."""
    await uses.access.revoke(caller, TokenId(token))
    return Response(status_code=204)


@router.get("/audit")
async def list_audit(
    request: Request, caller: Admin, uses: Uses, query: Annotated[PageQuery, paging()]
) -> Listing[AuditView]:
    """List what was done, newest first; the installation's admin sees all unless it names a project."""
    page = await uses.access.audit_log(caller, query, all_projects=_all_projects(request, caller))
    return render.listing(page, render.audit)


def _all_projects(request: Request, caller: Principal) -> bool:
    return caller.everywhere and project_of(request) is None


def _created(made: tuple[Token, Secret[str]]) -> TokenCreated:
    token, text = made
    return TokenCreated(**render.token(token).model_dump(), token=text.reveal())
