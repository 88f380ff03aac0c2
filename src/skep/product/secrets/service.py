"""Secrets: put in, listed by name, deleted; revealed only to what starts a run."""

import re
from collections.abc import Collection, Mapping

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Also, Database, Tx
from skep.kernel.errors import InvalidError, NotFoundError
from skep.kernel.ids import IdSource
from skep.kernel.log import Redactor
from skep.kernel.paging import Page, PageQuery
from skep.kernel.secret import Secret
from skep.product.access.model import Principal, Scope
from skep.product.access.service import AccessService, require
from skep.product.secrets.model import SealedSecret, SecretInfo
from skep.product.secrets.ports import Sealer, SecretStore

NAME_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
MAX_BYTES = 65_536


def seal_context(project_id: str, name: str) -> str:
    """Return what binds a sealed value to its place, so that a row copied elsewhere does not open."""
    return f"secret:{project_id}:{name}"


class SecretService:
    """Named values, encrypted at rest."""

    def __init__(
        self,
        db: Database,
        store: SecretStore,
        sealer: Sealer,
        access: AccessService,
        clock: Clock,
        ids: IdSource,
        redactor: Redactor | None = None,
    ) -> None:
        self._db = db
        self._store = store
        self._sealer = sealer
        self._access = access
        self._clock = clock
        self._ids = ids
        self._redactor = redactor

    async def put(
        self, principal: Principal, name: str, value: Secret[str], also: Also[SecretInfo] | None = None
    ) -> SecretInfo:
        """Add the secret *name*, or replace its value."""
        require(principal, Scope.ADMIN)
        _check(name, value)
        project_id = principal.project_id
        now_ms = to_ms(self._clock.now())
        nonce, ciphertext = self._sealer.seal(value, seal_context(project_id, name))
        fresh = SecretInfo(
            id=self._ids.new("sec", now_ms), project_id=project_id, name=name, created_ms=now_ms, updated_ms=now_ms
        )
        sealed = SealedSecret(info=fresh, nonce=nonce, ciphertext=ciphertext, key_id=self._sealer.key_id)

        def work(tx: Tx) -> SecretInfo:
            self._store.put(tx, sealed)
            kept = self._store.get(tx, project_id, name)
            info = kept.info if kept is not None else fresh
            self._access.record(tx, principal, "secret.put", info.id, name=name)
            if also is not None:
                also(tx, info)
            return info

        self._keep_out_of_the_log(value)
        return await self._db.write(work)

    async def entries(self, principal: Principal, query: PageQuery) -> Page[SecretInfo]:
        """List the project's secrets, without their values."""
        require(principal, Scope.OPERATE)
        return await self._db.read(lambda tx: self._store.entries(tx, principal.project_id, query))

    async def delete(self, principal: Principal, name: str) -> None:
        """Remove the secret *name*."""
        require(principal, Scope.ADMIN)

        def work(tx: Tx) -> None:
            if not self._store.delete(tx, principal.project_id, name):
                raise NotFoundError(f"There is no secret {name}.", code="secret_missing", hint="GET /api/v1/secrets")
            self._access.record(tx, principal, "secret.delete", name)

        await self._db.write(work)

    async def reveal(self, project_id: str, names: Collection[str]) -> Mapping[str, Secret[str]]:
        """Open the secrets *names* of a project.

        Raises:
            NotFoundError: `secret_missing`; the message names those that are not there.
        """
        wanted = sorted(set(names))
        found = await self._db.read(lambda tx: {name: self._store.get(tx, project_id, name) for name in wanted})
        missing = [name for name, sealed in found.items() if sealed is None]
        if missing:
            raise NotFoundError(
                f"These secrets are not there: {', '.join(missing)}.",
                code="secret_missing",
                hint="Put them with PUT /api/v1/secrets/NAME, then start the run again.",
                fields=dict.fromkeys(missing, "no such secret"),
            )
        return {name: self._open(project_id, name, sealed) for name, sealed in found.items() if sealed is not None}

    def _open(self, project_id: str, name: str, sealed: SealedSecret) -> Secret[str]:
        context = seal_context(project_id, name)
        value = self._sealer.open(sealed.nonce, sealed.ciphertext, context, sealed.key_id)
        self._keep_out_of_the_log(value)
        return value

    def _keep_out_of_the_log(self, value: Secret[str]) -> None:
        if self._redactor is not None:
            self._redactor.add(value.reveal())


def _check(name: str, value: Secret[str]) -> None:
    fields: dict[str, str] = {}
    if NAME_PATTERN.fullmatch(name) is None:
        fields["name"] = "letters, digits and underscores, not starting with a digit, at most 64"
    text = value.reveal()
    size = len(text.encode("utf-8", "surrogatepass"))
    if not text or size > MAX_BYTES:
        fields["value"] = f"1 to {MAX_BYTES} bytes; it has {size}"
    elif "\0" in text:
        fields["value"] = "must not contain a NUL character"
    if fields:
        raise InvalidError("The secret cannot be kept like this.", fields=fields)
