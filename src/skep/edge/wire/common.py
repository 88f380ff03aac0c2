"""What all shapes share: strict requests, tolerant answers, times, listings, bounded texts."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints

from skep.edge.wire import texts

T = TypeVar("T")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


#: A moment, written as RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`.
Time = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]

#: The name of an agent or a project: a DNS label.
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63, pattern=texts.NAME.pattern),
    Field(description="Lower-case letters, digits and inner hyphens; at most 63 characters."),
]
#: The id of any thing, or where it is allowed a name.
IdOrName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=texts.ID_OR_NAME.pattern)]
#: One line that a person reads.
Title = Annotated[str, StringConstraints(max_length=200, pattern=texts.ONE_LINE.pattern)]
#: The name of an environment variable.
EnvName = Annotated[str, StringConstraints(max_length=128, pattern=texts.ENV_NAME.pattern)]
#: The value of an environment variable, or one argument of a command.
EnvValue = Annotated[str, StringConstraints(max_length=32_768, pattern=texts.NO_NUL.pattern)]
#: The name of a secret, which is also the name of its file.
SecretName = Annotated[str, StringConstraints(pattern=texts.SECRET_NAME.pattern)]


class RequestBody(BaseModel):
    """What a caller sends: an unknown member is an error, so that a typing mistake is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class Answer(BaseModel):
    """What the server sends: a client ignores members that it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Listing(Answer, Generic[T]):
    """Some items, and the cursor of the next page, null at the end."""

    items: list[T]
    next: str | None = None


class FailureView(Answer):
    """Why a build or a run failed."""

    code: str
    message: str
    hint: str = ""


class LogPiece(Answer):
    """A piece of a log, as an item of a listing and as the data of a server-sent event."""

    #: "stdout", "stderr" or "system" (Skep's own words).
    stream: str
    at: Time
    #: Untrusted text of an agent: clean it of terminal escapes before you print it.
    text: str
    #: Where this piece starts, and where to go on after it.
    offset: int
    next: int
    #: Of a run: the attempt whose log this is; offsets count within it.
    attempt: int = 1


#: Any JSON object.
JsonObject = dict[str, Any]


class ResourcesView(Answer):
    """What a run may use; null is the installation's default."""

    cpus: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    pids: int | None = None
    timeout_s: float | None = None
