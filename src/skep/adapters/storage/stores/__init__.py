"""One store per noun: rows to models and back; a store decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from skep.adapters.storage.dialect import Dialect
from skep.adapters.storage.stores.access import SqlAccessStore, SqlAuditStore, SqlIdempotencyStore
from skep.adapters.storage.stores.agents import SqlAgentStore
from skep.adapters.storage.stores.catalogue import SqlCatalogueStore
from skep.adapters.storage.stores.host_keys import SqlHostKeyStore
from skep.adapters.storage.stores.images import SqlImageStore
from skep.adapters.storage.stores.nodes import SqlNodeStore
from skep.adapters.storage.stores.questions import SqlQuestionStore
from skep.adapters.storage.stores.runs import SqlRunStore
from skep.adapters.storage.stores.sandboxes import SqlSandboxStore
from skep.adapters.storage.stores.secrets import SqlSecretStore
from skep.adapters.storage.stores.webhooks import SqlWebhookStore
from skep.adapters.storage.stores.work import SqlWorkStore
from skep.product.access.ports import AccessStore, AuditStore, IdempotencyStore
from skep.product.agents.ports import AgentStore
from skep.product.agents.webhooks import WebhookStore
from skep.product.images.fetch.keyring import HostKeyStore
from skep.product.images.layers.catalogue import CatalogueStore
from skep.product.images.ports import ImageStore
from skep.product.nodes.ports import NodeStore
from skep.product.runs.ports import QuestionStore, RunStore
from skep.product.sandboxes.ports import SandboxStore
from skep.product.secrets.ports import SecretStore
from skep.product.work.ports import WorkStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """A store for each noun; they hold no state and may be shared."""

    access: AccessStore
    audit: AuditStore
    idempotency: IdempotencyStore
    secrets: SecretStore
    nodes: NodeStore
    sandboxes: SandboxStore
    images: ImageStore
    catalogue: CatalogueStore
    host_keys: HostKeyStore
    agents: AgentStore
    webhooks: WebhookStore
    runs: RunStore
    questions: QuestionStore
    work: WorkStore


def make_stores(dialect: Dialect, now_ms: Callable[[], int]) -> Stores:
    """Make the stores for a database of this *dialect*; *now_ms* is the clock of work on SQLite."""
    return Stores(
        access=SqlAccessStore(),
        audit=SqlAuditStore(dialect),
        idempotency=SqlIdempotencyStore(dialect),
        secrets=SqlSecretStore(),
        nodes=SqlNodeStore(),
        sandboxes=SqlSandboxStore(),
        images=SqlImageStore(),
        catalogue=SqlCatalogueStore(),
        host_keys=SqlHostKeyStore(),
        agents=SqlAgentStore(),
        webhooks=SqlWebhookStore(),
        runs=SqlRunStore(),
        questions=SqlQuestionStore(),
        work=SqlWorkStore(dialect, now_ms),
    )
