"""Runs."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter

from skep.edge.client.nouns import Noun
from skep.edge.client.transport import PREFIX
from skep.edge.wire.common import Listing, LogPiece
from skep.edge.wire.runs import AnswerRun, ArtifactView, EventView, InboxItem, OutputView, RunView, StartRun


class Runs(Noun):
    """`/runs`."""

    async def start(
        self, agent: str, inputs: dict[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> RunView:
        """Start a run of the agent with this id or name."""
        body = StartRun(agent_id=agent, inputs=inputs or {}, timeout_s=timeout_s)
        return await self._transport.call(RunView, "POST", f"{PREFIX}/runs", body=body, creates=True)

    async def get(self, run: str) -> RunView:
        """Return one run, with its output so far."""
        return await self._transport.call(RunView, "GET", f"{PREFIX}/runs/{run}")

    def all(
        self,
        *,
        agent: str | None = None,
        status: tuple[str, ...] = (),
        q: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[RunView]:
        """Yield runs, newest first."""
        return self._pages(RunView, "/runs", agent_id=agent, status=status, q=q, since=since, until=until, limit=limit)

    async def cancel(self, run: str) -> RunView:
        """Ask for the run's end."""
        return await self._transport.call(RunView, "POST", f"{PREFIX}/runs/{run}/cancel")

    async def answer(self, run: str, answer: Any, *, question: str | None = None) -> RunView:
        """Answer what a run asks; *question* is the id of one of several."""
        body = AnswerRun(answer=answer, question=question)
        return await self._transport.call(RunView, "POST", f"{PREFIX}/runs/{run}/answer", body=body, creates=True)

    def inbox(self, *, status: tuple[str, ...] = (), limit: int | None = None) -> AsyncIterator[InboxItem]:
        """Yield what runs ask and how they ended, newest run first."""
        return self._pages(InboxItem, "/inbox", status=status, limit=limit)

    async def ended(self, run: str) -> RunView:
        """Wait until the run is final, and return it with its output."""
        return await self._until(lambda: self.get(run), lambda found: found.status.final)

    async def output(self, run: str) -> OutputView:
        """Return what the run printed."""
        return (await self.get(run)).output or OutputView()

    def log(self, run: str, *, offset: int = 0, follow: bool = False) -> AsyncIterator[LogPiece]:
        """Yield the run's log; following ends when the run has."""
        return self._log(f"/runs/{run}/log", offset, follow=follow)

    async def events(self, run: str, *, after: int = 0) -> AsyncIterator[EventView]:
        """Yield the run's state changes as they happen, until it is final."""
        events = self._transport.events(
            f"{PREFIX}/runs/{run}/events", params={"follow": True}, last_id=str(after or "")
        )
        async for event in events:
            yield EventView.model_validate_json(event.data)

    async def artifacts(self, run: str) -> list[ArtifactView]:
        """List the files that the run left."""
        content = await self._transport.send("GET", f"{PREFIX}/runs/{run}/artifacts")
        return TypeAdapter(Listing[ArtifactView]).validate_json(content).items

    def artifact(self, run: str, path: str) -> AsyncIterator[bytes]:
        """Yield the bytes of one of these files."""
        return self._transport.download(f"{PREFIX}/runs/{run}/artifacts/{quote(path)}")
