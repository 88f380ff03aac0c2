"""What deals with repositories beside builds: their keys, looks at them, and what tells of pushes."""

from dataclasses import dataclass
from importlib import metadata

from skep.assembly import machine
from skep.assembly.base import Base
from skep.product.access.service import AccessService
from skep.product.agents.redeploy import Redeploy
from skep.product.agents.renewal import Renewal
from skep.product.agents.watch import Watch
from skep.product.agents.webhooks import WebhookService
from skep.product.gateway.resolver import SystemResolver
from skep.product.images.fetch.addresses import leave
from skep.product.images.fetch.host_keys import parse_known_hosts
from skep.product.images.fetch.keyring import Keyring
from skep.product.images.fetch.looking import Looker
from skep.product.images.options import build_options
from skep.product.images.service import ImageService
from skep.product.secrets.service import SecretService
from skep.product.work.service import WorkService


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What begins builds that nobody asks for."""

    watch: Watch
    webhooks: WebhookService
    renewal: Renewal


def make_keyring(base: Base, access: AccessService, secrets: SecretService) -> Keyring:
    """Make what opens repositories.

    Raises:
        InvalidError: the operator's file of known hosts cannot be read.
    """
    file = base.settings.git_known_hosts
    return Keyring(
        db=base.db,
        store=base.stores.host_keys,
        secrets=secrets,
        secret_rows=base.stores.secrets,
        access=access,
        clock=base.clock,
        known=parse_known_hosts(machine.read_file(file) if file else ""),
        leave=leave(base.settings.git_http_hosts, base.settings.git_ssh_hosts),
    )


def make_watching(
    base: Base, access: AccessService, images: ImageService, work: WorkService, keyring: Keyring
) -> Watching:
    """Make what looks at repositories, and what is told of pushes."""
    stores, clock = base.stores, base.clock
    redeploy = Redeploy(agents=stores.agents, images=stores.images, builds=images, access=access, clock=clock)
    looker = Looker(
        db=base.db,
        sandboxes=stores.sandboxes,
        work=stores.work,
        driver=base.driver,
        logs=base.logs,
        keyring=keyring,
        resolver=SystemResolver(),
        clock=clock,
        ids=base.ids,
        node_id=base.node_id,
        options=build_options(base.settings, uv_version=metadata.version("uv")),
    )
    watch = Watch(
        db=base.db, agents=stores.agents, work=stores.work, queue=work, look=looker, redeploy=redeploy, clock=clock
    )
    webhooks = WebhookService(
        db=base.db,
        store=stores.webhooks,
        agents=stores.agents,
        access=access,
        sealer=base.sealer,
        redeploy=redeploy,
        watch=watch,
        clock=clock,
    )
    renewal = Renewal(
        db=base.db,
        agents=stores.agents,
        images=stores.images,
        redeploy=redeploy,
        driver=base.driver,
        node_id=base.node_id,
    )
    return Watching(watch=watch, webhooks=webhooks, renewal=renewal)
