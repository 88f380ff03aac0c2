"""What a secret is; its value is not part of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretInfo:
    """A secret as it may be shown."""

    id: str
    project_id: str
    #: `[A-Za-z_][A-Za-z0-9_]{0,63}`, unique in its project.
    name: str
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """A secret as it is stored: AES-256-GCM, bound to its project and name."""

    info: SecretInfo
    nonce: bytes
    ciphertext: bytes
    #: Which of the installation's keys it was sealed with.
    key_id: str
