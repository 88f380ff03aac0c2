"""Private repositories and redeploys: known servers, webhooks, what becomes of a push."""

from skep.edge.wire.common import Answer, FailureView, Time


class HostView(Answer):
    """The key of an ssh server that the project takes its repositories from."""

    host: str
    port: int
    #: "ssh-ed25519", ...
    type: str
    #: `SHA256:...`, as ssh-keygen shows it.
    fingerprint: str
    created_at: Time


class HostForgotten(Answer):
    """How many keys of a server were forgotten."""

    forgotten: int


class WebhookCreated(Answer):
    """A webhook; its secret is in this answer only."""

    #: To be put where the repository is.
    url: str
    #: The same, below the root of this server: for who reaches it under another name.
    path: str
    secret: str


class HookAnswer(Answer):
    """What became of a delivery."""

    #: The build that it began.
    build: str | None = None
    #: Why it began none.
    reason: str = ""


class PollView(Answer):
    """How a repository is looked at."""

    #: So often, in seconds.
    every_s: float
    #: The next look.
    due_at: Time | None = None


class LookedView(Answer):
    """What is remembered of the repository from looks and pushes."""

    at: Time
    #: The commit of which a build was begun last; null if of none.
    commit: str | None = None
    #: Looks that failed, in a row.
    failures: int = 0
    #: Why the last one did.
    error: FailureView | None = None
