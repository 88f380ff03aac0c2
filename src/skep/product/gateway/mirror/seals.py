"""Which addresses of files a page of an index named: to no other does a sandbox send the operator's credentials.

Whoever may ask for any file of a host, as the operator, reads whatever the operator may read there.
"""

import hmac
import secrets
from urllib.parse import unquote

from skep.product.gateway.mirror.door_paths import Place

#: What is beside a file under its name and this belongs to it (PEP 658).
METADATA = ".metadata"
_LENGTH = 32


class Seals:
    """Makes the seals of one process, and knows its own again."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, place: Place) -> str:
        """Return the seal of the file at *place*, and of its metadata: letters and digits."""
        path, mark, query = place.path.partition("?")
        named = f"{place.scheme}://{place.authority}{path.removesuffix(METADATA)}{mark}{query}"
        # Clients write the same address in more than one way.
        return hmac.digest(self._key, unquote(named).encode(), "sha256").hex()[:_LENGTH]

    def good(self, seal: str, place: Place) -> bool:
        """Tell whether *seal* is the one of *place*."""
        return hmac.compare_digest(seal.encode(), self.of(place).encode())
