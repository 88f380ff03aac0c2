"""The forms that short texts have, and what is said to who sends another: a pattern explains itself to nobody."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """What a text may hold: for machines, and for people."""

    #: A regular expression of the whole text, as OpenAPI has it.
    pattern: str
    #: Follows the name of the member that is wrong.
    words: str


NAME = Form(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "a name is made of lower-case letters, digits and inner hyphens, at most 63 characters, such as my-agent-2",
)
ID_OR_NAME = Form(
    r"^[A-Za-z0-9_.-]+$", "an id or a name is made of letters, digits, hyphens, dots and _, such as my-agent-2"
)
ENV_NAME = Form(
    r"^[A-Za-z_][A-Za-z0-9_]*$",
    "a variable's name is made of letters, digits and _, and does not begin with a digit, such as LOG_LEVEL",
)
SECRET_NAME = Form(
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}$",
    "a secret's name is made of letters, digits and _, does not begin with a digit and has at most 64 characters, "
    "such as API_KEY",
)
EGRESS_HOST = Form(r"^[A-Za-z0-9*._:\[\]-]+$", "write a host, host:port or *.host, such as api.example.com:443")
ONE_LINE = Form(r"^[^\x00-\x1f\x7f]*$", "must be one line without control characters")
LABEL = Form(r"^[^\x00-\x1f\x7f]+$", "must be one line without control characters")
NO_NUL = Form(r"^[^\x00]*$", "must not hold the character NUL")
WORD = Form(r"^[^\x00-\x20\x7f]+$", "must not hold spaces or control characters")

FORMS = (NAME, ID_OR_NAME, ENV_NAME, SECRET_NAME, EGRESS_HOST, ONE_LINE, LABEL, NO_NUL, WORD)
#: Pattern -> what to say when a text does not match it.
WORDS: Mapping[str, str] = {form.pattern: form.words for form in FORMS}
