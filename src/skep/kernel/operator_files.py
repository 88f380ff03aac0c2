"""What pip, uv and npm are set to on the operator's machine: their files and variables, read as they read them. Pure.

Not read: indexes and folders on the local disk (file://, find-links), keyrings, and what `uv auth login` keeps.
"""

import configparser
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from skep.kernel import npmrc
from skep.kernel.indexes import PUBLIC_PYTHON, Indexes, Login, bare, basic, is_remote, logins_for, logins_of, origin


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorFiles:
    """Texts of files; of several the later one counts more."""

    pip: Sequence[str] = ()
    uv: Sequence[str] = ()
    npm: Sequence[str] = ()
    netrc: str = ""
    #: Certificate authorities, PEM.
    authorities: str = ""


def places(env: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Return where the files lie, by the fields of `OperatorFiles`."""
    home = env.get("HOME", "")
    config = env.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    prefix = env.get("VIRTUAL_ENV", "")
    npm_user = npmrc.variable(env, "userconfig") or (home and f"{home}/.npmrc")
    pip = (
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        home and f"{home}/.pip/pip.conf",
        config and f"{config}/pip/pip.conf",
    )
    named = env.get("PIP_CONFIG_FILE", "")
    if named == "/dev/null":
        pip, prefix, named = (), "", ""
    found: dict[str, tuple[str, ...]] = {
        "pip": (*pip, prefix and f"{prefix}/pip.conf", named),
        "uv": ("/etc/xdg/uv/uv.toml", "/etc/uv/uv.toml", config and f"{config}/uv/uv.toml"),
        "npm": ("/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc", npm_user),
        "netrc": (env.get("NETRC") or (home and f"{home}/.netrc"),),
        "authorities": (env.get("PIP_CERT", ""), env.get("NODE_EXTRA_CA_CERTS", "")),
    }
    if file := env.get("UV_CONFIG_FILE"):
        found["uv"] = (file,)
    if env.get("UV_NO_CONFIG"):
        found["uv"] = ()
    return {kind: tuple(place for place in every if place) for kind, every in found.items()}


def read(env: Mapping[str, str], files: OperatorFiles) -> Indexes:
    """Return what the operator's tools are set to; a file that is not well formed says nothing."""
    uv, pip = _uv(env, files.uv), _pip(env, files.pip)
    default = uv.default or pip.default or PUBLIC_PYTHON
    extra = uv.extra or pip.extra
    python = (*extra, default)
    registry, scopes, npm_logins = npmrc.read(env, files.npm)
    urls = (*python, registry, *scopes.values())
    return Indexes(
        python=tuple(map(bare, python)),
        npm=bare(registry),
        scopes={scope: bare(url) for scope, url in scopes.items()},
        logins=(*_netrc(files.netrc, urls), *npm_logins, *uv.logins, *logins_of(urls)),
        authorities=files.authorities,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Python:
    """Addresses with user and password, where they have them."""

    default: str = ""
    extra: tuple[str, ...] = ()
    logins: tuple[Login, ...] = ()


# ---- uv


def _uv(env: Mapping[str, str], texts: Sequence[str]) -> _Python:
    #: Name and address.
    listed: list[tuple[str, str]] = [_named(word) for word in env.get("UV_INDEX", "").split()]
    listed += [("", word) for word in env.get("UV_EXTRA_INDEX_URL", "").split()]
    default = _named(env.get("UV_DEFAULT_INDEX") or env.get("UV_INDEX_URL") or "")
    # The user's file counts more than the machine's.
    for config in reversed([_toml(text) for text in texts]):
        for entry in _tables(config.get("index")):
            url, name = str(entry.get("url", "")), str(entry.get("name", ""))
            if entry.get("default"):
                default = default if default[1] else (name, url)
            elif not entry.get("explicit"):
                listed.append((name, url))
        for table in (config, *_tables([config.get("pip")])):
            default = default if default[1] else ("", str(table.get("index-url", "")))
            listed += [("", url) for url in _texts(table.get("extra-index-url"))]
    logins = [login for name, url in (*listed, default) if is_remote(url) for login in _named_logins(env, name, url)]
    return _Python(
        default=default[1] if is_remote(default[1]) else "",
        extra=tuple(dict.fromkeys(url for _, url in listed if is_remote(url))),
        logins=tuple(logins),
    )


def _named(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    return (name, url) if equals and re.fullmatch(r"[A-Za-z0-9._-]+", name) else ("", text)


def _named_logins(env: Mapping[str, str], name: str, url: str) -> Iterator[Login]:
    key = re.sub(r"[^A-Z0-9]", "_", name.upper())
    user, password = env.get(f"UV_INDEX_{key}_USERNAME", ""), env.get(f"UV_INDEX_{key}_PASSWORD", "")
    if name and (user or password):
        yield from logins_for(url, basic(user, password))


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _tables(value: object) -> list[dict[str, Any]]:
    entries: list[Any] = value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]
    return [entry for entry in entries if isinstance(entry, dict)]


def _texts(value: object) -> list[str]:
    entries: list[Any] = value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]
    return [entry for entry in entries if isinstance(entry, str)]


# ---- pip


def _pip(env: Mapping[str, str], texts: Sequence[str]) -> _Python:
    default, extra = "", ""
    for text in texts:
        for section in ("global", "install"):
            values = _section(text, section)
            default = values.get("index-url", default)
            extra = values.get("extra-index-url", extra)
    default = env.get("PIP_INDEX_URL") or default
    extra = env.get("PIP_EXTRA_INDEX_URL") or extra
    return _Python(
        default=default if is_remote(default) else "", extra=tuple(url for url in extra.split() if is_remote(url))
    )


def _section(text: str, section: str) -> Mapping[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    values = parser.items(section) if parser.has_section(section) else ()
    return {name.replace("_", "-"): value for name, value in values}


# ---- netrc


def _netrc(text: str, urls: Sequence[str]) -> Iterator[Login]:
    """Yield what the file says of the hosts of *urls*, and of nobody else's."""
    hosts = _netrc_hosts(text)
    for url in urls:
        host = urlsplit(url).hostname or ""
        if host in hosts:
            yield Login(origin=origin(url), header=basic(*hosts[host]))


def _netrc_hosts(text: str) -> dict[str, tuple[str, str]]:
    """Return user and password by host; macros and `default` are left out."""
    found: dict[str, dict[str, str]] = {}
    words = iter(re.sub(r"(?m)^\s*#.*$|^\s*macdef\b(?:.+\n)*", "", text).split())
    machine: dict[str, str] = {}
    for word in words:
        if word == "machine":
            machine = found.setdefault(next(words, "").lower(), {})
        elif word == "default":
            machine = {}
        elif word in ("login", "password", "account"):
            machine.setdefault(word, next(words, ""))
    return {host: (said.get("login", ""), said["password"]) for host, said in found.items() if "password" in said}
