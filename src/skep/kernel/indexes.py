"""Where the operator gets packages from, and as whom: what the launcher hands to the server. Pure."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from skep.kernel.secret import Secret

PUBLIC_PYTHON = "https://pypi.org/simple"
PUBLIC_NPM = "https://registry.npmjs.org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A credential of one server."""

    #: "https://host", "http://host:port", ...: it is sent nowhere else.
    origin: str
    #: The value of the header Authorization.
    header: Secret[str]
    #: It is for paths that begin so; of several the longest counts.
    path: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """The operator's indexes; addresses are without user and password."""

    #: First asked first; the first that knows a package is the only one that is believed about it.
    python: tuple[str, ...] = (PUBLIC_PYTHON,)
    npm: str = PUBLIC_NPM
    #: "@scope" -> its own registry.
    scopes: Mapping[str, str] = field(default_factory=dict[str, str])
    logins: tuple[Login, ...] = ()
    #: Certificate authorities besides the system's, PEM.
    authorities: str = ""

    @property
    def named(self) -> tuple[str, ...]:
        """Return the addresses that the operator named: their hosts may be reached for that alone."""
        public = {PUBLIC_PYTHON, PUBLIC_NPM}
        return tuple(url for url in (*self.python, self.npm, *self.scopes.values()) if url.rstrip("/") not in public)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Return what must be seen in no log: every credential, in every form in which it could appear."""
        found: list[str] = []
        for login in self.logins:
            value = login.header.reveal().partition(" ")[2]
            found += [value, *_user_info(value)]
        return tuple(dict.fromkeys(text for text in found if text))

    def to_json(self) -> str:
        """Return the value as one line, credentials included."""
        logins = [{"origin": one.origin, "path": one.path, "header": one.header.reveal()} for one in self.logins]
        values = {"python": self.python, "npm": self.npm, "scopes": dict(self.scopes), "logins": logins}
        return json.dumps({**values, "authorities": self.authorities})

    @classmethod
    def from_json(cls, line: str) -> "Indexes":
        """Read what `to_json` wrote."""
        values = json.loads(line)
        logins = tuple(
            Login(origin=one["origin"], path=one["path"], header=Secret(one["header"])) for one in values["logins"]
        )
        return cls(
            python=tuple(values["python"]),
            npm=values["npm"],
            scopes=values["scopes"],
            logins=logins,
            authorities=values["authorities"],
        )


def with_own(found: Indexes, index_url: str | None, extra: tuple[str, ...], npm: str | None) -> Indexes:
    """Return *found* with Skep's own settings over it; user and password in them become logins.

    An index that is Skep's own puts those aside that pip and uv would ask besides theirs: it is said whole.
    """
    python = found.python
    if index_url is not None:
        python = (*extra, index_url)
    elif extra:
        python = (*extra, found.python[-1])
    npm_url = npm if npm is not None else found.npm
    # The later login counts where two speak of the same.
    logins = (*found.logins, *logins_of(url for url in (*extra, index_url or "", npm or "")))
    return replace(found, python=tuple(map(bare, python)), npm=bare(npm_url), logins=logins)


def is_remote(url: str) -> bool:
    """Tell whether *url* is one that a server answers."""
    return re.match(r"https?://[^/]", url, re.IGNORECASE) is not None


def bare(url: str) -> str:
    """Return *url* without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def origin(url: str) -> str:
    """Return scheme, host and port of *url*."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.rpartition('@')[2].lower()}"


def logins_of(urls: Iterable[str]) -> tuple[Login, ...]:
    """Return the logins that stand in *urls*: good beside the index' pages, where its files lie, and on its host."""
    found: list[Login] = []
    for url in urls:
        user_info = urlsplit(url).netloc.rpartition("@")[0]
        if user_info:
            user, _, password = user_info.partition(":")
            found += logins_for(url, basic(unquote(user), unquote(password)))
    return tuple(found)


def logins_for(url: str, header: Secret[str]) -> tuple[Login, Login]:
    """Return a credential of the index at *url*: for what lies beside its pages, else for its host."""
    folder = urlsplit(url).path.rstrip("/").removesuffix("/simple") + "/"
    return Login(origin=origin(url), header=header), Login(origin=origin(url), path=folder, header=header)


def basic(user: str, password: str) -> Secret[str]:
    """Return the header Authorization of a user with a password (RFC 7617)."""
    return Secret("Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii"))


def _user_info(value: str) -> tuple[str, ...]:
    try:
        text = base64.b64decode(value, validate=True).decode()
    except ValueError:
        return ()
    user, colon, password = text.partition(":")
    # A password that is a word of everyday, or the user's name alone, would blacken the log.
    return (text, password) if colon and user else (password,)
