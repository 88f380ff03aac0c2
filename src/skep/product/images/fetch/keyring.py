"""What a project has to open repositories with, and what it knows of their servers."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Database, Tx
from skep.kernel.errors import ConflictError, InvalidError, NotFoundError
from skep.product.access.model import Principal, ProjectId, Scope
from skep.product.access.service import AccessService, require
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetch import credentials
from skep.product.images.fetch.addresses import Leave, Remote, remote
from skep.product.images.fetch.credentials import Credential
from skep.product.images.fetch.host_keys import HostKey, KnownHosts, parse_key
from skep.product.images.model import Failure, GitSource, Source
from skep.product.secrets.ports import SecretStore
from skep.product.secrets.service import SecretService

_PUT_IT = "Put it: skep secret set {name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenKey:
    """The key that an ssh server showed when a project saw it first."""

    project_id: str
    host: str
    port: int
    #: Type and base64.
    key: str
    created_ms: int


class HostKeyStore(Protocol):
    """Rows of seen keys."""

    def insert(self, tx: Tx, seen: SeenKey) -> None:
        """Add one; `ConflictError` if it is there."""
        ...

    def of_host(self, tx: Tx, project_id: str, host: str, port: int) -> list[SeenKey]:
        """List those of one server."""
        ...

    def all(self, tx: Tx, project_id: str) -> list[SeenKey]:
        """List those of a project, by host."""
        ...

    def forget(self, tx: Tx, project_id: str, host: str, port: int | None) -> int:
        """Delete those of a host, on one port or on all; return how many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """What is believed of a server, and who said so."""

    keys: tuple[HostKey, ...]
    #: True if the project saw it; else the operator, or Skep, knew before.
    seen: bool = False


class Keyring:
    """Opens the secrets that sources name, and keeps the keys of servers."""

    def __init__(
        self,
        *,
        db: Database,
        store: HostKeyStore,
        secrets: SecretService,
        secret_rows: SecretStore,
        access: AccessService,
        clock: Clock,
        known: KnownHosts,
        leave: Leave,
    ) -> None:
        self._db = db
        self._store = store
        self._secrets = secrets
        self._secret_rows = secret_rows
        self._access = access
        self._clock = clock
        self._known = known
        self._leave = leave

    # ---- secrets

    def require(self, tx: Tx, project_id: str, source: Source) -> None:
        """Refuse a source that names a secret which the project does not have.

        Raises:
            InvalidError: `secret_missing`.
        """
        name = source.secret if isinstance(source, GitSource) else ""
        if name and self._secret_rows.get(tx, project_id, name) is None:
            raise InvalidError(
                f"The project has no secret {name}, which is to open the repository.",
                code="secret_missing",
                hint=_PUT_IT.format(name=name),
                fields={"source.git.secret": "no such secret"},
            )

    async def credential(self, project_id: str, source: Source) -> Credential | None:
        """Open what *source* names; None if it names nothing.

        Raises:
            BuildFailedError: it is not there, or no credential for this address.
        """
        if not isinstance(source, GitSource) or not source.secret:
            return None
        origin = remote(source.url, self._leave)
        try:
            values = await self._secrets.reveal(project_id, [source.secret])
        except NotFoundError as error:
            raise BuildFailedError(
                Failure(
                    code="secret_missing",
                    message=f"The secret {source.secret}, which is to open the repository, is not there any more.",
                    hint=_PUT_IT.format(name=source.secret),
                )
            ) from error
        return credentials.read(origin, source.secret, values[source.secret])

    # ---- keys of servers

    async def trusted(self, project_id: str, origin: Remote) -> Trusted:
        """Return what is believed of a server; no keys if nobody has seen it yet."""
        if keys := self._known.find(origin.host, origin.port):
            return Trusted(keys=keys)
        seen = await self._db.read(lambda tx: self._store.of_host(tx, project_id, origin.host, origin.port))
        return Trusted(keys=tuple(parse_key(row.key) for row in seen), seen=True)

    async def learn(self, project_id: str, origin: Remote, key: HostKey) -> Trusted:
        """Keep the key that a server showed first; one that was kept meanwhile is the one that counts."""
        seen = SeenKey(
            project_id=project_id,
            host=origin.host,
            port=origin.port,
            key=key.text,
            created_ms=to_ms(self._clock.now()),
        )

        def work(tx: Tx) -> None:
            if not self._store.of_host(tx, project_id, origin.host, origin.port):
                self._store.insert(tx, seen)
                self._access.record(
                    tx,
                    None,
                    "host_key.learn",
                    f"{origin.host}:{origin.port}",
                    project_id=ProjectId(project_id),
                    type=key.type,
                    fingerprint=key.fingerprint,
                )

        with suppress(ConflictError):  # somebody has kept the same one this moment
            await self._db.write(work)
        return await self.trusted(project_id, origin)

    async def hosts(self, principal: Principal) -> list[SeenKey]:
        """List the keys that the principal's project has seen."""
        require(principal, Scope.ADMIN)
        return await self._db.read(lambda tx: self._store.all(tx, principal.project_id))

    async def forget(self, principal: Principal, host: str, port: int | None) -> int:
        """Forget a server's keys: the next one that it shows is kept instead; return how many there were.

        Raises:
            NotFoundError: none was kept.
        """
        require(principal, Scope.ADMIN)

        def work(tx: Tx) -> int:
            gone = self._store.forget(tx, principal.project_id, host, port)
            if not gone:
                raise NotFoundError(
                    f"No key of {host[:100]} was kept.", code="host_not_found", hint="skep hosts lists those there are."
                )
            self._access.record(tx, principal, "host_key.forget", host if port is None else f"{host}:{port}")
            return gone

        return await self._db.write(work)
