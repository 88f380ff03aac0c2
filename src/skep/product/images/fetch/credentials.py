"""What opens a private repository: a token or a deploy key, read and judged before any sandbox is made. Pure."""

import base64
import binascii
import re
from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization.ssh import load_ssh_private_key

from skep.kernel.secret import Secret
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetch.addresses import Remote
from skep.product.images.model import Failure

#: GitHub wants this name with an app's token and takes any other with a person's; GitLab and Gitea take any name.
_ANY_USER = "x-access-token"
#: Bitbucket's tokens of a repository, project or workspace have this one name.
_USERS = {"bitbucket.org": "x-token-auth"}
_TOKEN = re.compile(r"[\x21-\x7e]+")
_MAX_TOKEN = 4096
_PRIVATE_KEY = "PRIVATE KEY-----"
_OPENSSH = re.compile(r"-----BEGIN OPENSSH PRIVATE KEY-----(.*)-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
_MAGIC = b"openssh-key-v1\0"
_CIPHER_NONE = b"\0\0\0\x04none"
#: Shorter pieces of a key would garble a log more than they give away.
_TELLING = 16


class CredentialKind(StrEnum):
    """How git shows it to the server."""

    #: As a password, over http or https.
    TOKEN = "token"  # noqa: S105  a word, not a token
    #: By ssh.
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A secret as git takes it."""

    kind: CredentialKind
    #: What is put into the sandbox's memory: two lines (user, password), or an OpenSSH private key.
    text: Secret[str]
    #: What must not appear in any log.
    hidden: tuple[str, ...]


def read(origin: Remote, name: str, value: Secret[str]) -> Credential:
    """Make a credential for *origin* out of the secret *name*.

    Raises:
        BuildFailedError: it is none; the failure says what to do.
    """
    is_key = _PRIVATE_KEY in value.reveal()
    if origin.scheme == "ssh":
        if not is_key:
            raise _invalid("deploy_key_invalid", name, "it is no private key, and ssh takes nothing else", origin)
        return _key(name, value.reveal(), origin)
    if is_key:
        raise _invalid("git_token_invalid", name, f"it is a private key, and {origin.scheme} takes a token", origin)
    return _token(name, value.reveal().strip(), origin)


def _token(name: str, text: str, origin: Remote) -> Credential:
    user, colon, password = text.partition(":")
    if not colon:
        user, password = _USERS.get(origin.host, _ANY_USER), text
    if not user or len(text) > _MAX_TOKEN or not _TOKEN.fullmatch(password) or not _TOKEN.fullmatch(user):
        raise _invalid("git_token_invalid", name, "it is no single line of printable characters", origin)
    pair = f"{user}:{password}"
    return Credential(
        kind=CredentialKind.TOKEN,
        text=Secret(f"{user}\n{password}\n"),
        hidden=(base64.b64encode(pair.encode()).decode(), pair, password),
    )


def _key(name: str, text: str, origin: Remote) -> Credential:
    text = text.replace("\r\n", "\n").strip() + "\n"
    if _has_passphrase(text):
        raise BuildFailedError(
            Failure(
                code="deploy_key_passphrase",
                message=f"The deploy key in the secret {name} has a passphrase, and nobody is there to type it.",
                hint="Take a key of its own for this: ssh-keygen -t ed25519 -N '' -f deploy_key; give its .pub file "
                f"to the repository, and put the key itself: skep secret set {name} < deploy_key",
            )
        )
    try:
        load = load_ssh_private_key if _OPENSSH.search(text) else serialization.load_pem_private_key
        key = load(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _invalid("deploy_key_invalid", name, "it cannot be read as a private key", origin) from error
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise _invalid("deploy_key_invalid", name, "ssh takes Ed25519, ECDSA and RSA", origin)
    # ssh reads fewer forms than people have; this one it always reads.
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    lines = {line for line in (*text.splitlines(), *written.splitlines()) if not line.startswith("-----")}
    return Credential(
        kind=CredentialKind.KEY,
        text=Secret(written),
        hidden=tuple(sorted(line for line in lines if len(line) >= _TELLING)),
    )


def _has_passphrase(text: str) -> bool:
    if "ENCRYPTED" in text:
        return True
    found = _OPENSSH.search(text)
    if found is None:
        return False
    try:
        inside = base64.b64decode("".join(found[1].split()))
    except (binascii.Error, ValueError):
        return False
    return inside.startswith(_MAGIC) and not inside.startswith(_MAGIC + _CIPHER_NONE)


def _invalid(code: str, name: str, why: str, origin: Remote) -> BuildFailedError:
    wanted = "a private key (OpenSSH or PEM)" if origin.scheme == "ssh" else "a token, or user:password"
    return BuildFailedError(
        Failure(
            code=code,
            message=f"The secret {name} does not open {origin.url}: {why}.",
            hint=f"For an address with {origin.scheme}:// put {wanted}: skep secret set {name}",
        )
    )
