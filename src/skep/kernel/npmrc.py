"""What npm is set to: its files and variables, read as npm reads them. Pure."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from skep.kernel.indexes import PUBLIC_NPM, Login, basic, is_remote, logins_for, origin
from skep.kernel.secret import Secret

_CREDENTIAL = re.compile(r"(//[^:]+(?::[0-9]+)?[^:]*:|)(?:_authToken|_auth|username)")


def read(env: Mapping[str, str], texts: Sequence[str]) -> tuple[str, dict[str, str], tuple[Login, ...]]:
    """Return the registry, those of scopes ("@scope"), and the credentials; of *texts* the later one counts more."""
    values: dict[str, str] = {}
    for text in texts:
        values |= _values(text, env)
    registry = variable(env, "registry") or values.get("registry", "")
    registry = registry if is_remote(registry) else PUBLIC_NPM
    scopes = {
        name.removesuffix(":registry"): url
        for name, url in values.items()
        if name.startswith("@") and name.endswith(":registry") and is_remote(url)
    }
    logins = [login for prefix in _prefixes(values) for login in _logins(prefix, values, (registry, *scopes.values()))]
    return registry, scopes, tuple(logins)


def variable(env: Mapping[str, str], name: str) -> str:
    """Return the variable npm_config_*name*, however it is written; "" if it is not set."""
    return next((value for key, value in env.items() if key.lower() == f"npm_config_{name}" and value), "")


def _values(text: str, env: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith(("#", ";")):
            value = re.sub(r"\$\{([^}]+)\}", lambda match: env.get(match[1], match[0]), value.strip())
            found[name.strip()] = (
                value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
            )
    return found


def _prefixes(values: Mapping[str, str]) -> list[str]:
    """Return what stands before the credentials: "//host/path/:", or nothing where they are the registry's."""
    found = (_CREDENTIAL.fullmatch(name) for name in values)
    return list(dict.fromkeys(match[1] for match in found if match))


def _logins(prefix: str, values: Mapping[str, str], registries: Sequence[str]) -> Iterator[Login]:
    header = _header(prefix, values)
    if header is None:
        return
    if not prefix:
        yield from logins_for(registries[0], header)
        return
    place = prefix.removesuffix(":")
    host = urlsplit(place).netloc.lower()
    # Nothing says whether it is http: the registry's own address does.
    origins = {origin(url) for url in registries if origin(url).partition("//")[2] == host} or {f"https://{host}"}
    for each in sorted(origins):
        yield Login(origin=each, path=urlsplit(place).path or "/", header=header)


def _header(prefix: str, values: Mapping[str, str]) -> Secret[str] | None:
    if token := values.get(f"{prefix}_authToken"):
        return Secret(f"Bearer {token}")
    if auth := values.get(f"{prefix}_auth"):
        return Secret(f"Basic {auth}")
    user, password = values.get(f"{prefix}username"), values.get(f"{prefix}_password")
    if not user or not password:
        return None
    try:
        return basic(user, base64.b64decode(password, validate=True).decode())
    except (binascii.Error, ValueError):
        return None
