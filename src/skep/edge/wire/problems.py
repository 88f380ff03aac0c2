"""What every error looks like: problem details (RFC 9457)."""

from pydantic import ConfigDict, Field

from skep.edge.wire.common import Answer

MEDIA_TYPE = "application/problem+json"


class Problem(Answer):
    """An error; decide by `code`, show `detail` and `hint`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = "about:blank"
    #: The HTTP status in words.
    title: str
    status: int
    #: One sentence for people.
    detail: str
    #: The path that was asked for.
    instance: str = ""
    #: Stable; for programs.
    code: str
    #: What to do about it.
    hint: str | None = None
    #: Wrong field -> what is the matter with it.
    fields: dict[str, str] = Field(default_factory=dict[str, str])
    request_id: str = ""
    #: The same as `detail`, and as `status`, for clients of Agent Launchpad.
    error: str = ""
    status_code: int = 0
