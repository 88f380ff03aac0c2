"""Ids: a prefix that names the noun, and 26 characters that sort by time (Crockford base 32, lower case)."""

import os
import re
import threading

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 80
_PATTERN = re.compile(r"[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}")


def encode(value: int, length: int = 26) -> str:
    """Write *value* in Crockford base 32, *length* characters, most significant first."""
    out = bytearray(length)
    for position in range(length - 1, -1, -1):
        out[position] = ord(_ALPHABET[value & 31])
        value >>= 5
    return out.decode("ascii")


def make_id(prefix: str, now_ms: int, random_80: int) -> str:
    """Make an id of *prefix*, a 48-bit time in milliseconds and 80 random bits (ULID's layout).

    Source: the ULID specification, with a prefix in front and lower case throughout.
    """
    return f"{prefix}_{encode((now_ms << _RANDOM_BITS) | random_80)}"


def has_prefix(text: str, prefix: str) -> bool:
    """Tell whether *text* is a well-formed id of the noun *prefix*."""
    return text.startswith(prefix + "_") and _PATTERN.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Tell whether *text* is a well-formed id of any noun."""
    return _PATTERN.fullmatch(text) is not None


class IdSource:
    """Makes ids that never repeat and, within one process, always grow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._last_random = 0

    def new(self, prefix: str, now_ms: int) -> str:
        """Make the next id of *prefix*; two ids of one millisecond still sort in the order of their making."""
        with self._lock:
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                # The top bit is left free so that a burst within one millisecond cannot overflow.
                self._last_random = int.from_bytes(os.urandom(10)) >> 1
            else:
                self._last_random += 1 + int.from_bytes(os.urandom(4))
            return make_id(prefix, self._last_ms, self._last_random)
