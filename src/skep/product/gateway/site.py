"""What the door itself answers: a request for one of its sites and the answer, as values. Pure."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from skep.product.gateway.model import Refusal

#: What a reason phrase may hold (RFC 9112, 4); uv prints it, and little else of an answer that is an error.
_PHRASE = 300


class BrokenOffError(Exception):
    """The answer cannot be brought to its end; its client must see that, so the connection is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for something of a site; it has no body."""

    #: GET or HEAD.
    method: str
    #: Below the site's own segment, as it was sent: no leading slash, percent-encoded, with its query.
    path: str
    #: Where the door is: "http://127.0.0.1".
    door: str = "http://127.0.0.1"
    #: The types that it takes, as it says it.
    accept: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered; the length is known, or the body is sent in chunks."""

    status: int = 200
    #: Empty: the status' usual one.
    phrase: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | AsyncGenerator[bytes] = b""
    #: Of a body that is a generator; None: not known before its end.
    length: int | None = None
    #: Who was asked for it, "" if nobody had to be.
    host: str = ""
    port: int = 0
    #: Why it could not be done, for the record; "" when all went well.
    reason: str = ""
    refusal: Refusal | None = None

    @property
    def status_line(self) -> bytes:
        """Return the first line: its phrase is plain ASCII, whatever it was made of."""
        phrase = self.phrase or HTTPStatus(self.status).phrase
        plain = "".join(char if " " <= char <= "~" else "?" for char in phrase[:_PHRASE])
        return f"HTTP/1.1 {self.status} {plain}".encode("ascii")


def failure(
    status: int, reason: str, *, host: str = "", port: int = 0, hint: str = "", refusal: Refusal | None = None
) -> Answer:
    """Return an answer that says *reason*, where uv, pip and people look for it."""
    text = f"Skep: {reason}.\n" + (f"{hint}\n" if hint else "")
    return Answer(
        status=status,
        phrase=reason,
        headers={"Content-Type": "text/plain; charset=utf-8"},
        body=text.encode(),
        host=host,
        port=port,
        reason=reason,
        refusal=refusal,
    )
