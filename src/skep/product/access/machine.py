"""What a token is good for, now and in which project: pure."""

from skep.kernel.errors import ForbiddenError, NotFoundError
from skep.product.access.model import Project, ProjectId, Token


def refusal(token: Token, now_ms: int) -> str | None:
    """Return why the token is not good any more ("revoked", "expired"), or None."""
    if token.revoked_ms is not None:
        return "revoked"
    if token.expires_ms is not None and token.expires_ms <= now_ms:
        return "expired"
    return None


def choose_project(token: Token, wanted: str, found: Project | None) -> ProjectId:
    """Return the project that *token* acts in when *wanted* is asked for and *found* is what has that name or id.

    A token of one project is told the same about a foreign project and one that does not exist.
    """
    if token.project_id is not None:
        if found is None or found.id != token.project_id:
            raise ForbiddenError(
                f"The token {token.name} is not good for the project {wanted}.",
                code="project_forbidden",
                hint="Leave the project out, or use a token of that project.",
            )
        return found.id
    if found is None:
        raise NotFoundError(
            f"There is no project {wanted}.", code="project_not_found", hint="skep project list shows them."
        )
    return found.id
