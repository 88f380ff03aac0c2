"""HEAD, for everything that answers GET: the same way through the application, up to where the body begins."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What an application notes in its scope, and those around it read there.
_NOTED = ("route", "state")


class _Answered(Exception):  # noqa: N818  not an error
    """The head is sent: whatever would make the body must stop."""


class Head:
    """Gives HEAD to the application as GET, and ends it when it has said status and headers.

    A stream is never opened: what it would follow begins with its body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                await send({"type": "http.response.body"})
                raise _Answered

        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send_head)
        except _Answered:
            pass
        finally:
            scope.update({key: inner[key] for key in _NOTED if key in inner})
