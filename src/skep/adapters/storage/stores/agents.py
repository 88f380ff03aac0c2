"""Rows of agents and their versions."""

from sqlalchemy import bindparam, delete, exists, func, select, text

from skep.adapters.storage.mapper import Mapper, on
from skep.adapters.storage.tables import OWNED, POLLED, agents, images, runs, versions
from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.agents.model import Agent, AgentId, Version, VersionId


class SqlAgentStore:
    """Implements `agents.ports.AgentStore`."""

    def __init__(self) -> None:
        self._agents = Mapper(agents, Agent)
        self._versions = Mapper(versions, Version)
        self._living = agents.c.removed_ms.is_(None)
        self._by_name = self._agents.by("project_id", "name").where(self._living)
        self._owned = self._agents.by("project_id", "owner", "title").where(text(OWNED))
        self._due = (
            self._agents.select.where(text(POLLED), agents.c.poll_due_ms <= bindparam("now_ms"))
            .order_by(agents.c.poll_due_ms)
            .limit(bindparam("limit"))
        )
        standing = exists().where(
            versions.c.id == agents.c.version_id,
            images.c.id == versions.c.image_id,
            images.c.node_id == bindparam("node"),
            images.c.base_fingerprint != bindparam("base"),
        )
        self._outdated = self._agents.select.where(self._living, standing).order_by(agents.c.id)
        self._last_number = select(func.max(versions.c.number)).where(versions.c.agent_id == bindparam("agent_id"))
        current = exists().where(agents.c.id == versions.c.agent_id, agents.c.version_id == versions.c.id, self._living)
        ran = exists().where(runs.c.version_id == versions.c.id)
        old = select(versions.c.id).where(versions.c.created_ms < bindparam("before_ms"), ~current, ~ran)
        self._prune = delete(versions).where(versions.c.id.in_(old.limit(bindparam("limit"))))

    def insert(self, tx: Tx, agent: Agent) -> None:
        """Add an agent; `ConflictError(code="name_taken")` if a living agent of the project has the name."""
        self._agents.insert(tx, agent)

    def save(self, tx: Tx, agent: Agent) -> None:
        """Replace the agent's row (name clash as in `insert`)."""
        self._agents.save(tx, agent)

    def get(self, tx: Tx, agent_id: AgentId) -> Agent | None:
        """Return the agent of this id, also a removed one."""
        return self._agents.get(tx, agent_id)

    def by_name(self, tx: Tx, project_id: str, name: str) -> Agent | None:
        """Return the living agent of this name."""
        return self._agents.first(tx, self._by_name, {"project_id": project_id, "name": name})

    def owned(self, tx: Tx, project_id: str, owner: str, title: str) -> Agent | None:
        """Return the living agent that was made for *owner* under this title."""
        return self._agents.first(tx, self._owned, {"project_id": project_id, "owner": owner, "title": title})

    def all(self, tx: Tx, project_id: str, query: PageQuery, *, owner: str | None = None) -> Page[Agent]:
        """List the living agents of a project, or of one owner in it, newest first; `query.status` is ignored here."""
        where = [agents.c.project_id == project_id, self._living]
        if owner is not None:
            where.append(agents.c.owner == owner)
        return self._agents.page(tx, query, *where, newest_first=True, search=("id", "name", "title"))

    def due(self, tx: Tx, now_ms: int, limit: int) -> list[Agent]:
        """List living agents whose repositories are to be looked at by now, the longest due first."""
        return self._agents.all(tx, self._due, {"now_ms": now_ms, "limit": limit})

    def outdated(self, tx: Tx, node_id: str, base: str) -> list[Agent]:
        """List living agents whose current version has an image of this machine that stands on another *base*."""
        return self._agents.all(tx, self._outdated, {"node": node_id, "base": base})

    def insert_version(self, tx: Tx, version: Version) -> None:
        """Add a version."""
        self._versions.insert(tx, version)

    def version(self, tx: Tx, version_id: VersionId) -> Version | None:
        """Return the version of this id."""
        return self._versions.get(tx, version_id)

    def versions(self, tx: Tx, agent_id: AgentId, query: PageQuery) -> Page[Version]:
        """List an agent's versions, newest first."""
        return self._versions.page(tx, query, versions.c.agent_id == agent_id, newest_first=True)

    def next_number(self, tx: Tx, agent_id: AgentId) -> int:
        """Return the number that the next version gets."""
        return (on(tx).execute(self._last_number, {"agent_id": agent_id}).scalar() or 0) + 1

    def prune_versions(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete old versions that neither a run names nor a living agent runs now; return how many."""
        return on(tx).execute(self._prune, {"before_ms": before_ms, "limit": limit}).rowcount
