"""/secrets: values go in and never come out."""

from typing import Annotated

from fastapi import Response

from skep.edge.api import render
from skep.edge.api.auth import Admin, Operator
from skep.edge.api.idempotency import Creating
from skep.edge.api.query import paging
from skep.edge.api.routing import Uses, native
from skep.edge.wire.common import Listing
from skep.edge.wire.secrets import PutSecret, PutSecretValue, SecretView
from skep.kernel.paging import PageQuery
from skep.kernel.secret import Secret

router = native("secrets")


@router.get("/secrets")
async def list_secrets(caller: Operator, uses: Uses, query: Annotated[PageQuery, paging()]) -> Listing[SecretView]:
    """List the names of the project's secrets."""
    return render.listing(await uses.secrets.entries(caller, query), render.secret)


@router.post("/secrets", status_code=201, response_model=SecretView)
async def create_secret(caller: Admin, uses: Uses, once: Creating, body: PutSecret) -> Response:
    """Add a secret, or replace its value."""
    value = Secret(body.value.get_secret_value())
    return await once.answer(201, lambda also: uses.secrets.put(caller, body.name, value, also), render.secret)


@router.put("/secrets/{name}")
async def put_secret(caller: Admin, uses: Uses, name: str, body: PutSecretValue) -> SecretView:
    """Add a secret, or replace its value."""
    return render.secret(await uses.secrets.put(caller, name, Secret(body.value.get_secret_value())))


@router.delete("/secrets/{name}", status_code=204)
async def delete_secret(caller: Admin, uses: Uses, name: str) -> Response:
    """Remove a secret."""
    await uses.secrets.delete(caller, name)
    return Response(status_code=204)
