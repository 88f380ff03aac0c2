"""Where agents are kept, and who is told of new versions."""

from typing import Protocol

from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.access.model import Principal
from skep.product.agents.model import Agent, AgentId, Version, VersionId
from skep.product.images.model import Build, BuildId, Failure, Source


class AgentStore(Protocol):
    """Rows of agents and versions."""

    def insert(self, tx: Tx, agent: Agent) -> None:
        """Add an agent.

        Raises:
            ConflictError: `name_taken`: a living agent of the project has the name; `title_taken`: one of the same
                owner, if there is an owner, has the title.
        """
        ...

    def save(self, tx: Tx, agent: Agent) -> None:
        """Replace the agent's row (name clash as in `insert`)."""
        ...

    def get(self, tx: Tx, agent_id: AgentId) -> Agent | None:
        """Return the agent of this id, also a removed one."""
        ...

    def by_name(self, tx: Tx, project_id: str, name: str) -> Agent | None:
        """Return the living agent of this name."""
        ...

    def owned(self, tx: Tx, project_id: str, owner: str, title: str) -> Agent | None:
        """Return the living agent that was made for *owner*, who is not "", under this title."""
        ...

    def all(self, tx: Tx, project_id: str, query: PageQuery, *, owner: str | None = None) -> Page[Agent]:
        """List the living agents of a project, or of one owner in it, newest first.

        `query.status` is derived and ignored here.
        """
        ...

    def due(self, tx: Tx, now_ms: int, limit: int) -> list[Agent]:
        """List living agents whose repositories are to be looked at by now, the longest due first."""
        ...

    def outdated(self, tx: Tx, node_id: str, base: str) -> list[Agent]:
        """List living agents whose current version has an image of this machine that stands on another *base*."""
        ...

    def insert_version(self, tx: Tx, version: Version) -> None:
        """Add a version."""
        ...

    def version(self, tx: Tx, version_id: VersionId) -> Version | None:
        """Return the version of this id."""
        ...

    def versions(self, tx: Tx, agent_id: AgentId, query: PageQuery) -> Page[Version]:
        """List an agent's versions, newest first."""
        ...

    def next_number(self, tx: Tx, agent_id: AgentId) -> int:
        """Return the number that the next version gets."""
        ...

    def prune_versions(self, tx: Tx, *, before_ms: int, limit: int) -> int:
        """Delete versions made before *before_ms*, at most *limit*; return how many.

        Those that a run names stay, and the one that each agent that is not removed runs now.
        """
        ...


class VersionListener(Protocol):
    """Is told, in the same transaction, what became of an agent's build, and of its removal."""

    def version_ready(self, tx: Tx, agent: Agent, version: Version) -> None:
        """A new version is there."""
        ...

    def build_failed(self, tx: Tx, agent: Agent, failure: Failure) -> None:
        """A build ended without an image, and the agent has no version."""
        ...

    def agent_removed(self, tx: Tx, agent: Agent) -> None:
        """The agent was removed; nothing of it may go on."""
        ...


class Builds(Protocol):
    """What an agent needs of the builds; `ImageService` is it."""

    def begin(
        self,
        tx: Tx,
        *,
        project_id: str,
        agent_id: str,
        source: Source,
        command: tuple[str, ...],
        upgrade: bool = False,
    ) -> Build:
        """Insert a build and enqueue its work; raises `InvalidError` for a source that can never be fetched."""
        ...

    async def cancel(self, principal: Principal, build_id: BuildId) -> Build:
        """End the build, soon."""
        ...
