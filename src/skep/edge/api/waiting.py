"""What a server answers that waits for its database: it lives, it is not ready, come again."""

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from skep.edge.api.errors import of_error
from skep.edge.wire.system import Health, Ready
from skep.kernel.errors import UnavailableError

_HEALTH = ("/healthz", "/health")


class Waiting:
    """An application that is served in place of the real one until there is a database."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing of it is kept."""
        if scope["type"] == "http":
            await _answer(scope["path"])(scope, receive, send)


def _answer(path: str) -> Response:
    if path in _HEALTH:
        return _json(Health(data={"status": "ok"}).model_dump_json(), 200)
    if path == "/readyz":
        body = Ready(status="unavailable", checks={"database": "unavailable"})
        return _json(body.model_dump_json(), 503)
    error = UnavailableError(
        "The server waits for its database.",
        code="database_unavailable",
        hint="It goes on by itself as soon as the database answers; the server's log says what is missing.",
    )
    return of_error(error, path)


def _json(body: str, status: int) -> Response:
    return Response(body, status, media_type="application/json")
