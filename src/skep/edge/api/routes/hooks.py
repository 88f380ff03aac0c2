"""/hooks: where the hosts of repositories tell of pushes. No token: the signature is the credential."""

import hashlib

from fastapi import APIRouter, Request, Response

from skep.edge.api import pushes
from skep.edge.api.auth import Operator
from skep.edge.api.hearing import Hearing
from skep.edge.api.idempotency import Creating
from skep.edge.api.requests import CheckedRoute
from skep.edge.api.routing import Uses, native
from skep.edge.wire.repositories import HookAnswer, WebhookCreated
from skep.kernel.errors import InvalidError
from skep.product.agents.model import AgentId
from skep.product.agents.redeploy import Outcome
from skep.product.agents.webhooks import Made

router = native("agents")
public = APIRouter(route_class=CheckedRoute, tags=["agents"])

HOOKS = "/hooks/"
#: The most that a delivery may have, in bytes.
HOOK_LIMIT = 256 * 1024
#: How many deliveries are heard at once, and for how long one.
HOOKS_AT_ONCE = 128
HOOK_PATIENCE_S = 10.0


@router.post("/agents/{agent}/webhook", status_code=201, response_model=WebhookCreated)
async def renew_webhook(request: Request, caller: Operator, uses: Uses, once: Creating, agent: str) -> Response:
    """Make the agent's webhook, or give it another secret; the secret is in this answer only."""

    def created(made: Made) -> WebhookCreated:
        path = HOOKS + made.agent_id
        return WebhookCreated(url=str(request.base_url).rstrip("/") + path, path=path, secret=made.secret.reveal())

    return await once.answer(201, lambda also: uses.webhooks.renew(caller, agent, also), created, sealed=True)


@router.delete("/agents/{agent}/webhook", status_code=204)
async def remove_webhook(caller: Operator, uses: Uses, agent: str) -> Response:
    """Remove the agent's webhook."""
    await uses.webhooks.remove(caller, agent)
    return Response(status_code=204)


@public.post(HOOKS + "{agent}", status_code=202, response_model=HookAnswer)
async def take_delivery(request: Request, uses: Uses, agent: str) -> Response:
    """Take news of a push, signed with the webhook's secret, and build the agent if it is built from what changed."""
    hearing: Hearing = request.app.state.hearing
    body = await hearing.body(request)
    proof = pushes.proof(request.headers)
    await uses.webhooks.verify(AgentId(agent), proof, body)
    # What is signed is known again by itself: whoever sends it again may name it, and call himself, as he likes.
    news = pushes.news(request.headers, hashlib.sha256(body).hexdigest() if proof.signature else "")
    if news.is_ping:
        return _answer(200, Outcome(reason="pong"))
    if not news.is_push:
        return _answer(202, Outcome(reason=f"{news.event or 'what happened'} is not news of a push"))
    try:
        outcome = await uses.webhooks.pushed(AgentId(agent), pushes.changes(news.event, body), news.ids)
    except InvalidError as error:
        if error.code == "hook_invalid":
            raise
        # The delivery is good, and its sender can do nothing about the agent.
        outcome = Outcome(reason=error.message)
    return _answer(202, outcome)


def _answer(status: int, outcome: Outcome) -> Response:
    answer = HookAnswer(build=None if outcome.build is None else outcome.build.id, reason=outcome.reason)
    return Response(answer.model_dump_json(), status, media_type="application/json")
