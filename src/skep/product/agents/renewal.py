"""Builds agents again that stand on a base which their machine no longer has: it got another Python, another libc."""

import logging

from skep.kernel.database import Database, Tx
from skep.kernel.errors import SkepError
from skep.product.agents.machine import may_renew
from skep.product.agents.model import Agent
from skep.product.agents.ports import AgentStore
from skep.product.agents.redeploy import Redeploy
from skep.product.images.ports import ImageStore
from skep.product.sandboxes.ports import Based

log = logging.getLogger(__name__)


class Renewal:
    """Looks for such agents on its own machine; each is tried once, and is its owner's business after that."""

    def __init__(
        self,
        *,
        db: Database,
        agents: AgentStore,
        images: ImageStore,
        redeploy: Redeploy,
        driver: Based,
        node_id: str,
    ) -> None:
        self._db = db
        self._agents = agents
        self._images = images
        self._redeploy = redeploy
        self._driver = driver
        self._node_id = node_id

    async def renew(self) -> int:
        """Begin what builds are needed; return how many. To be called now and then."""
        base = await self._driver.base_fingerprint()
        outdated = await self._db.read(lambda tx: self._agents.outdated(tx, self._node_id, base))
        begun = 0
        for agent in outdated:
            begun += await self._db.write(lambda tx, seen=agent: self._again(tx, seen, base))
        return begun

    def _again(self, tx: Tx, seen: Agent, base: str) -> bool:
        agent = self._agents.get(tx, seen.id)
        version = None if agent is None or agent.version_id is None else self._agents.version(tx, agent.version_id)
        image = None if version is None else self._images.image(tx, version.image_id)
        if agent is None or image is None:
            return False
        latest = None if agent.build_id is None else self._images.build(tx, agent.build_id)
        if not may_renew(agent, image, base, latest):
            return False
        try:
            self._redeploy.again(tx, agent, "agent.rebuild", base=base)
        except SkepError as error:
            log.warning("an agent could not be built again", extra={"agent": agent.id, "code": error.code})
            return False
        return True
