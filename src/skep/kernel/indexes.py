"""Where the operator gets packages from, and as whom: a value that the launcher hands to the server as one line."""

import json
from dataclasses import dataclass, field

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
    #: It is for paths that begin so.
    path: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """The operator's indexes; addresses are without user and password."""

    #: First asked first; the first that knows a package is the only one that is believed about it.
    python: tuple[str, ...] = (PUBLIC_PYTHON,)
    npm: str = PUBLIC_NPM
    logins: tuple[Login, ...] = field(default=())
    #: What the public ones are not: named by the operator, so their hosts may be reached.
    named: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the value as one line, credentials included."""
        logins = [
            {"origin": login.origin, "path": login.path, "header": login.header.reveal()} for login in self.logins
        ]
        return json.dumps({"python": self.python, "npm": self.npm, "named": self.named, "logins": logins})

    @classmethod
    def from_json(cls, line: str) -> "Indexes":
        """Read what `to_json` wrote."""
        values = json.loads(line)
        logins = tuple(
            Login(origin=login["origin"], path=login["path"], header=Secret(login["header"]))
            for login in values["logins"]
        )
        return cls(python=tuple(values["python"]), npm=values["npm"], named=tuple(values["named"]), logins=logins)
