"""Seals secrets with AES-256-GCM under a key that is kept in a file (0600)."""

import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from skep.kernel.errors import UnavailableError
from skep.kernel.secret import Secret

_KEY_BYTES = 32
_NONCE_BYTES = 12


class KeyFileSealer:
    """Encrypts and decrypts with the key of one file; the context is authenticated with the value."""

    def __init__(self, key: Secret[bytes]) -> None:
        self._cipher = AESGCM(key.reveal())
        self.key_id = hashlib.sha256(b"skep key id:" + key.reveal()).hexdigest()[:16]

    @classmethod
    def at(cls, path: Path) -> "KeyFileSealer":
        """Read the key of *path*; the first start makes it."""
        if not path.exists():
            _make_key(path)
        return cls(_read_key(path))

    def seal(self, value: Secret[str], context: str) -> tuple[bytes, bytes]:
        """Return (nonce, ciphertext) of *value*, bound to *context*."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce, self._cipher.encrypt(nonce, value.reveal().encode(), context.encode())

    def open(self, nonce: bytes, ciphertext: bytes, context: str, key_id: str) -> Secret[str]:
        """Return the value; `UnavailableError(code="secret_key_missing")` if the key is not there or wrong."""
        if key_id != self.key_id:
            raise _key_missing(f"A secret was sealed with the key {key_id}; this installation's is {self.key_id}.")
        try:
            return Secret(self._cipher.decrypt(nonce, ciphertext, context.encode()).decode())
        except (InvalidTag, ValueError) as error:
            raise _key_missing("A secret does not open: its row was changed, or belongs elsewhere.") from error


def _key_missing(message: str) -> UnavailableError:
    return UnavailableError(
        message,
        code="secret_key_missing",
        hint="Restore the file `state/key` of the data folder from the backup, or put the secret again.",
    )


def _make_key(path: Path) -> None:
    """Write a new key beside *path* and link it there: it appears whole or not at all, and only once."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            return  # another process was first: its key counts
    finally:
        fresh.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_key(path: Path) -> Secret[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        key = file.read(_KEY_BYTES + 1)
    if mode & 0o077:
        raise _bad_file(f"The key file {path} can be read by others (mode {mode:o}).", f"chmod 600 {path}")
    if len(key) != _KEY_BYTES:
        raise _bad_file(
            f"The key file {path} is damaged: {_KEY_BYTES} bytes are wanted.", "Restore it from the backup."
        )
    return Secret(key)


def _bad_file(message: str, hint: str) -> UnavailableError:
    return UnavailableError(message, code="secret_key_missing", hint=hint)
