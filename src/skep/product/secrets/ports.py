"""Where sealed secrets are kept, and what seals them."""

from typing import Protocol

from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.kernel.secret import Secret
from skep.product.secrets.model import SealedSecret, SecretInfo


class SecretStore(Protocol):
    """Rows of sealed secrets."""

    def put(self, tx: Tx, sealed: SealedSecret) -> None:
        """Add the secret, or replace the one of the same project and name (keeping id and created_ms)."""
        ...

    def get(self, tx: Tx, project_id: str, name: str) -> SealedSecret | None:
        """Return the secret of this name."""
        ...

    def entries(self, tx: Tx, project_id: str, query: PageQuery) -> Page[SecretInfo]:
        """List the secrets of a project, oldest first."""
        ...

    def delete(self, tx: Tx, project_id: str, name: str) -> bool:
        """Remove it; tell whether there was one."""
        ...


class Sealer(Protocol):
    """Encrypts and decrypts with the installation's key."""

    key_id: str

    def seal(self, value: Secret[str], context: str) -> tuple[bytes, bytes]:
        """Return (nonce, ciphertext) of *value*, bound to *context*."""
        ...

    def open(self, nonce: bytes, ciphertext: bytes, context: str, key_id: str) -> Secret[str]:
        """Return the value; `UnavailableError(code="secret_key_missing")` if the key is not there or wrong."""
        ...
