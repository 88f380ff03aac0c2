"""Builds that nobody asks for: a push was told of, or a look found something new."""

from dataclasses import dataclass, replace
from typing import Any

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Tx
from skep.product.access.model import ProjectId
from skep.product.access.service import AccessService
from skep.product.agents import polls
from skep.product.agents.model import Agent
from skep.product.agents.ports import AgentStore, Builds
from skep.product.agents.service import newest_success
from skep.product.images.model import Build
from skep.product.images.ports import ImageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the news: a build, or why there is none."""

    build: Build | None = None
    reason: str = ""


class Redeploy:
    """Begins builds in the name of Skep; one at the most waits for each agent."""

    def __init__(
        self, *, agents: AgentStore, images: ImageStore, builds: Builds, access: AccessService, clock: Clock
    ) -> None:
        self._agents = agents
        self._images = images
        self._builds = builds
        self._access = access
        self._clock = clock

    def news(self, tx: Tx, agent: Agent, commit: str, action: str, **details: Any) -> Outcome:
        """Begin a build if *commit*, which the agent's repository has, is worth one; *action* is for the audit log.

        Raises:
            InvalidError: the source cannot be built any more.
            UnavailableError: `disk_full`.
        """
        latest = None if agent.build_id is None else self._images.build(tx, agent.build_id)
        built = newest_success(tx, self._images, agent)
        if reason := polls.reason_against(agent, latest, built, commit):
            # What it has is remembered only once a build of it was begun.
            kept = "" if agent.looked is None else agent.looked.commit
            self._agents.save(tx, polls.found(agent, kept, self._now_ms()))
            return Outcome(reason=reason)
        found = polls.found(agent, commit, self._now_ms())
        return Outcome(build=self.again(tx, found, action, commit=commit, **details))

    def again(self, tx: Tx, agent: Agent, action: str, **details: Any) -> Build:
        """Begin a build of what the agent is built from; *action* is for the audit log.

        Raises:
            SkepError: the source cannot be built any more, or not now.
        """
        build = self._builds.begin(
            tx, project_id=agent.project_id, agent_id=agent.id, source=agent.source, command=agent.config.command
        )
        self._agents.save(tx, replace(agent, build_id=build.id, updated_ms=self._now_ms()))
        self.record(tx, agent, action, build=build.id, **details)
        return build

    def record(self, tx: Tx, agent: Agent, action: str, **details: Any) -> None:
        """Write down what happened to *agent* without anybody's token."""
        self._access.record(
            tx, None, action, agent.id, project_id=ProjectId(agent.project_id), name=agent.name, **details
        )

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())
