"""Redeploy on push: whoever knows a webhook's secret tells of pushes, and that is all it is good for."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Also, Database, Tx
from skep.kernel.errors import InvalidError, NotFoundError, UnauthenticatedError
from skep.kernel.secret import Secret
from skep.product.access.model import Principal, Scope
from skep.product.access.service import AccessService, require
from skep.product.agents.model import Agent, AgentId
from skep.product.agents.ports import AgentStore
from skep.product.agents.redeploy import Outcome, Redeploy
from skep.product.agents.service import find_agent
from skep.product.agents.watch import Watch
from skep.product.images.fetch import git
from skep.product.images.model import GitSource, Source
from skep.product.secrets.ports import Sealer

#: Deliveries that are remembered for each webhook.
REMEMBERED = 64
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_ID = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The secret of an agent's webhook, sealed; and what was delivered last."""

    agent_id: AgentId
    nonce: bytes
    ciphertext: bytes
    key_id: str
    #: Newest last.
    seen: tuple[str, ...] = ()
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A webhook as its maker is told of it; never again."""

    agent_id: AgentId
    secret: Secret[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a delivery shows for itself: one of the two."""

    #: Hex of HMAC-SHA256 over the body.
    signature: str = ""
    #: The secret itself.
    token: str = ""


class RefKind(StrEnum):
    """What a name in a repository is."""

    BRANCH = "branch"
    TAG = "tag"


_PLACES = {RefKind.BRANCH: "refs/heads/", RefKind.TAG: "refs/tags/"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RefChange:
    """A name in the repository that means something else now."""

    kind: RefKind
    name: str
    #: What it means; "" if it is gone.
    commit: str
    #: Whether it is the repository's default branch; None if the news do not tell.
    default: bool | None = None


class WebhookStore(Protocol):
    """Rows of webhooks."""

    def put(self, tx: Tx, webhook: Webhook) -> None:
        """Add the agent's webhook, or replace it."""
        ...

    def get(self, tx: Tx, agent_id: AgentId) -> Webhook | None:
        """Return the agent's webhook."""
        ...

    def delete(self, tx: Tx, agent_id: AgentId) -> bool:
        """Remove it; tell whether there was one."""
        ...


class WebhookService:
    """Makes webhooks, and takes what comes to them."""

    def __init__(
        self,
        *,
        db: Database,
        store: WebhookStore,
        agents: AgentStore,
        access: AccessService,
        sealer: Sealer,
        redeploy: Redeploy,
        watch: Watch,
        clock: Clock,
    ) -> None:
        self._db = db
        self._store = store
        self._agents = agents
        self._access = access
        self._sealer = sealer
        self._redeploy = redeploy
        self._watch = watch
        self._clock = clock
        #: What is opened where there is no webhook, so that this takes as long.
        self._nobody = self._sealed(AgentId(""), Secret(secrets.token_urlsafe(32)))

    # ---- for who operates the agent

    async def renew(self, principal: Principal, id_or_name: str, also: Also[Made] | None = None) -> Made:
        """Make the agent's webhook, or give it another secret; it is told only now.

        Raises:
            InvalidError: `webhook_useless`: the agent's source is no repository.
        """
        require(principal, Scope.OPERATE)
        secret = Secret("skephook_" + secrets.token_urlsafe(32))

        def work(tx: Tx) -> Made:
            agent = find_agent(tx, self._agents, principal.project_id, id_or_name)
            if not isinstance(agent.source, GitSource):
                raise InvalidError(
                    "The agent's source is no repository: nobody will ever push to it.",
                    code="webhook_useless",
                    hint="Deploy it from a repository's URL first.",
                )
            self._store.put(tx, self._sealed(agent.id, secret))
            self._access.record(tx, principal, "agent.webhook", agent.id, name=agent.name)
            made = Made(agent_id=agent.id, secret=secret)
            if also is not None:
                also(tx, made)
            return made

        return await self._db.write(work)

    async def remove(self, principal: Principal, id_or_name: str) -> None:
        """Remove the agent's webhook: nobody can tell of pushes any more."""
        require(principal, Scope.OPERATE)

        def work(tx: Tx) -> None:
            agent = find_agent(tx, self._agents, principal.project_id, id_or_name)
            if not self._store.delete(tx, agent.id):
                raise NotFoundError(f"The agent {agent.name} has no webhook.", code="webhook_not_found")
            self._access.record(tx, principal, "agent.webhook_remove", agent.id, name=agent.name)

        await self._db.write(work)

    # ---- for who tells of pushes

    async def verify(self, agent_id: AgentId, proof: Proof, body: bytes) -> None:
        """Let a delivery in that shows it knows the secret.

        An agent that is not there, one without a webhook and a wrong proof are told, and cost, the same.

        Raises:
            UnauthenticatedError: `hook_refused`.
        """

        def find(tx: Tx) -> Webhook | None:
            agent, webhook = self._agents.get(tx, agent_id), self._store.get(tx, agent_id)
            return webhook if agent is not None and agent.removed_ms is None else None

        webhook = await self._db.read(find)
        held = webhook or self._nobody
        secret = self._sealer.open(held.nonce, held.ciphertext, _context(held.agent_id), held.key_id)
        if not proves(secret, proof, body) or webhook is None:
            raise UnauthenticatedError(
                "There is no webhook here that this delivery is for, or it is not signed with its secret.",
                code="hook_refused",
                hint="skep webhook add AGENT makes one, and tells its address and secret.",
            )

    async def pushed(self, agent_id: AgentId, changes: Sequence[RefChange], deliveries: Sequence[str]) -> Outcome:
        """Act on a verified delivery, known by the ids *deliveries*.

        Raises:
            InvalidError: the agent's source cannot be built any more.
            UnavailableError: `disk_full`.
        """

        def work(tx: Tx) -> Outcome:
            agent, webhook = self._agents.get(tx, agent_id), self._store.get(tx, agent_id)
            if agent is None or agent.removed_ms is not None or webhook is None:
                return Outcome(reason="the agent or its webhook was removed")
            ids = tuple(one[:_MAX_ID] for one in deliveries if one)
            if set(ids) & set(webhook.seen):
                return Outcome(reason="this delivery was taken before")
            self._store.put(tx, replace(webhook, seen=(*webhook.seen, *ids)[-REMEMBERED:]))
            outcome = self._act(tx, agent, changes)
            if outcome.build is None:
                self._redeploy.record(tx, agent, "agent.push", reason=outcome.reason)
            return outcome

        return await self._db.write(work)

    def _act(self, tx: Tx, agent: Agent, changes: Sequence[RefChange]) -> Outcome:
        wanted = [change for change in changes if concerns(agent.source, change) is not False]
        if not wanted:
            return Outcome(reason="nothing was pushed to what the agent is built from")
        change = wanted[-1]
        if not _COMMIT.fullmatch(change.commit):
            return Outcome(reason=f"the {change.kind} {change.name[:100]} was removed")
        if concerns(agent.source, change) is None:
            self._watch.told(tx, agent)
            return Outcome(reason="it is not told which branch is the default: the repository is asked")
        return self._redeploy.news(tx, agent, change.commit, "agent.push_build", ref=change.name[:100])

    def _sealed(self, agent_id: AgentId, secret: Secret[str]) -> Webhook:
        nonce, ciphertext = self._sealer.seal(secret, _context(agent_id))
        now_ms = to_ms(self._clock.now())
        return Webhook(
            agent_id=agent_id, nonce=nonce, ciphertext=ciphertext, key_id=self._sealer.key_id, created_ms=now_ms
        )


def proves(secret: Secret[str], proof: Proof, body: bytes) -> bool:
    """Tell whether *proof* shows that its maker knows *secret*; takes as long whatever is wrong."""
    key = secret.reveal().encode()
    made = hmac.new(key, body, hashlib.sha256).hexdigest()
    signed = hmac.compare_digest(made.encode(), proof.signature.lower().encode())
    told = hmac.compare_digest(hashlib.sha256(key).digest(), hashlib.sha256(proof.token.encode()).digest())
    return signed or told


def concerns(source: Source, change: RefChange) -> bool | None:
    """Tell whether *change* is of what *source* is built from; None if only the repository knows."""
    if not isinstance(source, GitSource):
        return False
    meant = git.meanings(source.ref)
    if meant == (git.HEAD,):
        return change.default if change.kind is RefKind.BRANCH else False
    return _PLACES[change.kind] + change.name in meant


def _context(agent_id: AgentId) -> str:
    return f"webhook:{agent_id}"
