"""Projects, tokens, secrets, the audit log."""

from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from skep.edge.client.nouns import Noun
from skep.edge.client.transport import PREFIX
from skep.edge.wire.access import AuditView, CreateProject, CreateToken, ProjectView, TokenCreated, TokenView
from skep.edge.wire.repositories import HostForgotten, HostView
from skep.edge.wire.secrets import SecretView
from skep.kernel.secret import Secret


class Tokens(Noun):
    """`/tokens`."""

    async def create(
        self, name: str, scopes: Sequence[str], *, expires_s: float | None = None, everywhere: bool = False
    ) -> TokenCreated:
        """Make a token; its text is in this answer and nowhere else."""
        given: dict[str, object] = {"name": name, "scopes": list(scopes)}
        if expires_s is not None:
            given["expires_s"] = expires_s
        if everywhere:
            given["everywhere"] = True
        body = CreateToken.model_validate(given)
        return await self._transport.call(TokenCreated, "POST", f"{PREFIX}/tokens", body=body, creates=True)

    def all(self, *, limit: int | None = None) -> AsyncIterator[TokenView]:
        """Yield tokens, oldest first."""
        return self._pages(TokenView, "/tokens", limit=limit)

    async def revoke(self, token: str) -> None:
        """Make a token useless from now on."""
        await self._transport.send("DELETE", f"{PREFIX}/tokens/{token}")


class Projects(Noun):
    """`/projects`."""

    async def create(self, name: str) -> ProjectView:
        """Make a project."""
        body = CreateProject(name=name)
        return await self._transport.call(ProjectView, "POST", f"{PREFIX}/projects", body=body, creates=True)

    def all(self, *, limit: int | None = None) -> AsyncIterator[ProjectView]:
        """Yield projects, oldest first."""
        return self._pages(ProjectView, "/projects", limit=limit)


class Secrets(Noun):
    """`/secrets`: values go in and never come out."""

    async def put(self, name: str, value: Secret[str]) -> SecretView:
        """Add a secret, or replace its value."""
        return await self._transport.call(SecretView, "PUT", f"{PREFIX}/secrets/{name}", body={"value": value.reveal()})

    def all(self, *, limit: int | None = None) -> AsyncIterator[SecretView]:
        """Yield the secrets' names, oldest first."""
        return self._pages(SecretView, "/secrets", limit=limit)

    async def remove(self, name: str) -> None:
        """Remove a secret."""
        await self._transport.send("DELETE", f"{PREFIX}/secrets/{name}")


class Hosts(Noun):
    """`/hosts`: ssh servers whose keys the project has kept."""

    async def all(self) -> list[HostView]:
        """List them, by name."""
        return (await self._page(HostView, "/hosts")).items

    async def forget(self, host: str) -> HostForgotten:
        """Forget the keys of `host`, or of `host:port`."""
        return await self._transport.call(HostForgotten, "DELETE", f"{PREFIX}/hosts/{quote(host, safe='')}")


class Audit(Noun):
    """`/audit`."""

    def all(
        self, *, q: str | None = None, since: str | None = None, until: str | None = None, limit: int | None = None
    ) -> AsyncIterator[AuditView]:
        """Yield the audit log, newest first."""
        return self._pages(AuditView, "/audit", q=q, since=since, until=until, limit=limit)
