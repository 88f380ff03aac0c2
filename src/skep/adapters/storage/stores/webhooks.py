"""Rows of webhooks."""

from sqlalchemy import bindparam, delete

from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.tables import webhooks
from skep.kernel.database import Tx
from skep.product.agents.model import AgentId
from skep.product.agents.webhooks import Webhook


class SqlWebhookStore:
    """Implements `agents.webhooks.WebhookStore`."""

    def __init__(self) -> None:
        self._webhooks = Mapper(webhooks, Webhook)
        self._delete = delete(webhooks).where(webhooks.c.agent_id == bindparam("_agent_id"))

    def put(self, tx: Tx, webhook: Webhook) -> None:
        """Add the agent's webhook, or replace it."""
        if self._webhooks.get(tx, webhook.agent_id) is None:
            self._webhooks.insert(tx, webhook)
        else:
            self._webhooks.save(tx, webhook)

    def get(self, tx: Tx, agent_id: AgentId) -> Webhook | None:
        """Return the agent's webhook."""
        return self._webhooks.get(tx, agent_id)

    def delete(self, tx: Tx, agent_id: AgentId) -> bool:
        """Remove it; tell whether there was one."""
        return on(tx).execute(self._delete, {"_agent_id": agent_id}).rowcount > 0
