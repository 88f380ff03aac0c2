"""The names of layers and locks: a hash over all that their content depends on. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: Grows when the same facts would have to mean another content.
_VERSION = 2


def key(kind: str, facts: Mapping[str, Any]) -> str:
    """Return the name of what *facts* say, which are JSON: 64 hex digits; the order of members does not count."""
    text = json.dumps({"kind": kind, "version": _VERSION, "facts": facts}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
