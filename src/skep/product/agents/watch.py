"""Looks at repositories now and then: durable work of the kind "poll", one piece at a time for each agent."""

import asyncio
import logging
from dataclasses import replace
from typing import Protocol

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.errors import FencedError, SkepError
from skep.product.agents import polls
from skep.product.agents.model import Agent, AgentId
from skep.product.agents.ports import AgentStore
from skep.product.agents.redeploy import Redeploy
from skep.product.images.failures import BuildFailedError
from skep.product.images.model import Failure, GitSource
from skep.product.images.ports import Queue
from skep.product.images.workshop import AttemptLostError
from skep.product.work.model import Lease, NewWork, WorkItem
from skep.product.work.ports import WorkStore

log = logging.getLogger(__name__)

KIND = "poll"
#: The concurrency key that all looks share; those of a project have one of their own beside it.
POLLS_KEY = "polls"
_AT_ONCE = 50


class Look(Protocol):
    """Asks a repository, from inside a sandbox; `images.looking.Looker` is it."""

    async def look(self, project_id: str, source: GitSource, owner: str) -> str:
        """Return the commit that the source's ref stands for now; what an earlier *owner* of that name left is gone.

        Raises:
            BuildFailedError: it cannot be asked; the failure says why.
            AttemptLostError: the sandbox was lost.
            UnavailableError: no sandbox can be made now.
        """
        ...

    async def sweep(self) -> None:
        """Give up the sandboxes of looks that nobody goes on with."""
        ...


class Watch:
    """The handler of the work "poll" (`work.ports.Handler`), and what puts it on."""

    def __init__(
        self,
        *,
        db: Database,
        agents: AgentStore,
        work: WorkStore,
        queue: Queue,
        look: Look,
        redeploy: Redeploy,
        clock: Clock,
    ) -> None:
        self._db = db
        self._agents = agents
        self._work = work
        self._queue = queue
        self._look = look
        self._redeploy = redeploy
        self._clock = clock
        #: Of each look that goes on in this process: its task.
        self._going: dict[str, asyncio.Task[str]] = {}

    async def put_on(self) -> int:
        """Enqueue the looks that are due; to be called every few seconds; return how many there were."""

        def work(tx: Tx) -> int:
            now_ms = self._now_ms()
            due = self._agents.due(tx, now_ms, _AT_ONCE)
            for agent in due:
                assert agent.poll_s is not None, "what is due has a rhythm"
                failures = agent.looked.failures if agent.looked else 0
                self._agents.save(tx, replace(agent, poll_due_ms=polls.next_look_ms(agent.poll_s, failures, now_ms)))
                self._ask(tx, agent)
            return len(due)

        await self._look.sweep()
        return await self._db.write(work)

    def told(self, tx: Tx, agent: Agent) -> None:
        """Have the agent's repository looked at because of a push: it is owed until a look that begins now is over."""
        self._agents.save(tx, polls.asked(agent, self._now_ms()))
        self._ask(tx, agent)

    def _ask(self, tx: Tx, agent: Agent) -> None:
        """Have the agent's repository looked at soon; one that waits already is enough, one that goes on is kept."""
        keys = (POLLS_KEY, f"{POLLS_KEY}:{agent.project_id}")
        work = NewWork(id=self._queue.new_id(), kind=KIND, ref=agent.id, project_id=agent.project_id, keys=keys)
        self._queue.enqueue(tx, work)

    # ---- work.ports.Handler

    async def run(self, item: WorkItem, lease: Lease) -> None:
        """Look once, and begin a build if there is something new."""
        agent = await self._db.read(lambda tx: self._agents.get(tx, AgentId(item.ref)))
        if agent is None or agent.removed_ms is not None or not isinstance(agent.source, GitSource):
            await self._db.write(lambda tx: self._finish(tx, lease, agent))
            return
        source = agent.source
        task = self._going[item.ref] = asyncio.create_task(self._look.look(agent.project_id, source, item.id))
        try:
            commit, failure = await task, None
        except BuildFailedError as error:
            commit, failure = "", error.failure
        except (AttemptLostError, SkepError) as error:
            if isinstance(error, FencedError):
                raise
            said = error.message if isinstance(error, SkepError) else str(error)
            commit, failure = "", Failure(code="look_lost", message=f"The repository could not be looked at: {said}.")
        finally:
            task.cancel()
            self._going.pop(item.ref, None)
        await self._db.write(lambda tx: self._end(tx, item, lease, agent, commit, failure))

    async def cancel(self, item: WorkItem) -> None:
        """End the look; nobody asks for that now but a server that stops."""
        if (task := self._going.get(item.ref)) is not None:
            task.cancel()

    def _end(self, tx: Tx, item: WorkItem, lease: Lease, before: Agent, commit: str, failure: Failure | None) -> None:
        self._work.check(tx, lease)
        agent = self._agents.get(tx, before.id)
        if agent is not None and agent.removed_ms is None and agent.source == before.source:
            failure = failure or self._take(tx, polls.answered(agent, before), commit)
            if failure is not None:
                failed = self._fail(tx, agent, failure)
                if self._again(tx, item, lease, failed, failure):
                    return
                self._agents.save(tx, polls.answered(failed, before))
        self._finish(tx, lease, before)

    def _take(self, tx: Tx, agent: Agent, commit: str) -> Failure | None:
        """Act on what was found; return why that could not be done."""
        try:
            self._redeploy.news(tx, agent, commit, "agent.poll_build")
        except SkepError as error:
            return Failure(code=error.code, message=error.message, hint=error.hint or "")
        return None

    def _fail(self, tx: Tx, agent: Agent, failure: Failure) -> Agent:
        now_ms = self._now_ms()
        after = polls.failed(agent, failure, now_ms)
        known = agent.looked is not None and agent.looked.failure is not None
        if not known or (agent.looked and agent.looked.failure and agent.looked.failure.code != failure.code):
            # Once for each kind of trouble, however long it lasts.
            self._redeploy.record(tx, agent, "agent.poll_failed", code=failure.code)
        failures = after.looked.failures if after.looked else 1
        if agent.poll_s is not None:
            after = replace(after, poll_due_ms=polls.next_look_ms(agent.poll_s, failures, now_ms))
        self._agents.save(tx, after)
        log.info("a repository could not be looked at", extra={"agent": agent.id, "code": failure.code})
        return after

    def _again(self, tx: Tx, item: WorkItem, lease: Lease, failed: Agent, failure: Failure) -> bool:
        """Put the look back if a push asks for it, and has not for too long."""
        if failed.asked_ms is None:
            return False
        again_ms = polls.again_ms(failed.asked_ms, item.errors, self._now_ms())
        if again_ms is not None:
            self._work.retry(tx, lease, not_before_ms=again_ms, error=failure.code)
        return again_ms is not None

    def _finish(self, tx: Tx, lease: Lease, before: Agent | None) -> None:
        """End the work on the agent as it was *before*; what was asked for meanwhile is enqueued only now."""
        self._work.check(tx, lease)
        self._work.finish(tx, lease)
        agent = None if before is None else self._agents.get(tx, before.id)
        if agent is not None and before is not None and polls.is_owed(agent, before):
            self._ask(tx, agent)

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())
