"""What the API stands on."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from skep.kernel.clock import Clock
from skep.kernel.database import Database
from skep.product.access.ports import IdempotencyStore
from skep.product.access.service import AccessService
from skep.product.agents.service import AgentService
from skep.product.agents.webhooks import WebhookService
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.layers.catalogue import Catalogue
from skep.product.images.layers.runtimes import RuntimeList
from skep.product.images.service import ImageService
from skep.product.runs.answering import AnswerService
from skep.product.runs.service import RunService
from skep.product.sandboxes.doctor import Doctor
from skep.product.secrets.ports import Sealer
from skep.product.secrets.service import SecretService

#: Name of a gauge -> state -> count, for /metrics.
Figures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """How much an upload may be, MiB."""

    packed_mb: int
    unpacked_mb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services that routes call, and what the API keeps answers with."""

    db: Database
    clock: Clock
    access: AccessService
    secrets: SecretService
    agents: AgentService
    webhooks: WebhookService
    keyring: Keyring
    images: ImageService
    catalogue: Catalogue
    runtimes: RuntimeList
    runs: RunService
    questions: AnswerService
    doctor: Doctor
    answers: IdempotencyStore
    sealer: Sealer
    #: Counts that /metrics shows, for example {"skep_work_items": {"queued": 3}}.
    figures: Callable[[], Awaitable[Figures]] | None = None
    #: JSON Schemas of files that users write, by the names under which they are handed out.
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])


def services_of(request: Request) -> Services:
    """Return the services of the application that answers *request*."""
    services: Services = request.app.state.services
    return services
