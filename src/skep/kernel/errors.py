"""Every error that a caller of Skep can meet.

    SkepError
    ├── InvalidError            the request is understood and wrong; `fields` says where     (422)
    ├── UnauthenticatedError    no credential, or one that is not good                        (401)
    ├── ForbiddenError          the principal may not do this                                 (403)
    ├── NotFoundError           there is no such thing in this project                        (404)
    ├── ConflictError           the thing's state, or another thing, forbids it               (409)
    ├── TooLargeError           a size limit was passed                                       (413)
    ├── LimitError              a rate or number limit was passed; `retry_after_s` may say    (429)
    ├── UnavailableError        a part is missing or down; nothing was half done              (503)
    │   └── UnknownOutcomeError the commit's fate is unknown; repeat with the Idempotency-Key (503)
    └── FencedError             another worker has taken over; the caller must stop at once   (internal)

HTTP numbers are put on at the edge; they stand here only to help the reader.
"""

from collections.abc import Mapping


class SkepError(Exception):
    """The root: a stable `code`, a sentence for people, and a `hint` that says what to do.

    `message` is what callers are told. `inside` is for the log alone: addresses, paths, the words of a foreign program;
    as text an error is both.
    """

    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        fields: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        inside: str = "",
    ) -> None:
        super().__init__(f"{message}: {inside}" if inside else message)
        self.message = message
        self.inside = inside
        if code is not None:
            self.code = code
        self.hint = hint
        self.fields = dict(fields or {})
        self.retry_after_s = retry_after_s


class InvalidError(SkepError):
    """The request is understood and wrong; `fields` maps each wrong field to what is the matter."""

    code = "invalid"


class UnauthenticatedError(SkepError):
    """There is no credential, or it is not good."""

    code = "unauthenticated"


class ForbiddenError(SkepError):
    """The principal is known and may not do this."""

    code = "forbidden"


class NotFoundError(SkepError):
    """There is no such thing, as far as this principal may know."""

    code = "not_found"


class ConflictError(SkepError):
    """The state of the thing, or the existence of another, forbids it."""

    code = "conflict"


class TooLargeError(SkepError):
    """A size limit was passed."""

    code = "too_large"


class LimitError(SkepError):
    """A rate or a number limit was passed."""

    code = "limit_reached"


class UnavailableError(SkepError):
    """A part that is needed is missing or down; nothing was half done."""

    code = "unavailable"


class UnknownOutcomeError(UnavailableError):
    """The connection broke during COMMIT: it may or may not have happened."""

    code = "unknown_outcome"


class FencedError(SkepError):
    """The lease was lost: whoever holds this must stop at once and write nothing."""

    code = "fenced"
