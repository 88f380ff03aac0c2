"""The client: one connection pool, one attribute per noun."""

from ssl import SSLContext
from types import TracebackType
from typing import Self

from skep.edge.client.access import Audit, Hosts, Projects, Secrets, Tokens
from skep.edge.client.agents import Agents
from skep.edge.client.builds import Builds, Uploads
from skep.edge.client.images import Images
from skep.edge.client.runs import Runs
from skep.edge.client.system import System
from skep.edge.client.transport import Patience, Transport, Waiting


class SkepClient:
    """Calls a Skep server.

    Used as `async with SkepClient(url, token) as skep: await skep.runs.start("hello", {"topic": "bees"})`.
    Creating requests carry an Idempotency-Key and are repeated while the server is away; logs and events
    are followed through restarts of the server. *waiting* hears why a request is repeated.
    """

    def __init__(
        self,
        url: str,
        token: str,
        project: str | None = None,
        *,
        tls: SSLContext | None = None,
        patience: Patience | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self._transport = Transport(url, token, project, tls=tls, patience=patience or Patience(), waiting=waiting)
        self.agents = Agents(self._transport)
        self.runs = Runs(self._transport)
        self.builds = Builds(self._transport)
        self.uploads = Uploads(self._transport)
        self.images = Images(self._transport)
        self.secrets = Secrets(self._transport)
        self.tokens = Tokens(self._transport)
        self.projects = Projects(self._transport)
        self.hosts = Hosts(self._transport)
        self.audit = Audit(self._transport)
        self.system = System(self._transport)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._transport.url

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)
