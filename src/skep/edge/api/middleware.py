"""Around every request: its id, the log line, the figures, safe headers, a limit on the body, and no trace outside."""

import asyncio
import logging
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skep.edge.api.errors import internal, problem
from skep.edge.api.metrics import Metrics
from skep.kernel.clock import Clock
from skep.kernel.log import with_request_id
from skep.kernel.settings import MIB

access_log = logging.getLogger("skep.access")
log = logging.getLogger(__name__)

#: How much, and for how long, a caller is heard whose body is refused.
_HEARD_BYTES = 64 * 1024 * 1024
_HEARD_S = 10.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The most that a body may have, and the setting that says so, if there is one."""

    size: int
    setting: str = ""

    def words(self) -> str:
        """Say what is the matter with a body that is larger."""
        mib, rest = divmod(self.size, MIB)
        most = f"{self.size} bytes" if rest else f"{mib} MiB"
        named = f", the server's {self.setting}" if self.setting else ""
        return f"The body is larger than {most}{named}."

    def hint(self) -> str:
        """Say what to do about it."""
        if self.setting:
            return f"Leave out what is not needed, or have the operator raise {self.setting}."
        return "Send less, or upload an archive: POST /api/v1/uploads."


JSON_LIMIT = BodyLimit(4 * MIB)


class Edge:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, clock: Clock, metrics: Metrics, body_limits: dict[str, BodyLimit]) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics
        self._body_limits = body_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if _REQUEST_ID.fullmatch(given) else f"req-{secrets.token_hex(8)}"
        with with_request_id(name):
            await self._answer(scope, receive, send, name)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        started = self._clock.monotonic()
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = name
                for key, value in _HEADERS.items():
                    headers.setdefault(key, value)
            await send(message)

        limit = self._limit(scope["path"])
        try:
            if _announced(scope) > limit.size:
                await _hear_out(scope, receive)
                await _too_large(limit)(scope, receive, send_on)
            else:
                await self._app(scope, _limited(receive, limit), send_on)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        except Exception:
            log.exception("unexpected error", extra={"method": scope["method"], "path": scope["path"]})
            if status:
                raise
            await internal(scope["path"])(scope, receive, send_on)
        finally:
            self._note(scope, status, self._clock.monotonic() - started)

    def _limit(self, path: str) -> BodyLimit:
        """Return the most that a body may have at *path*; a name that ends with a slash is that of all below it."""
        below = path[: path.find("/", 1) + 1]
        return self._body_limits.get(path, self._body_limits.get(below, JSON_LIMIT))

    def _note(self, scope: Scope, status: int, duration_s: float) -> None:
        route: Any = scope.get("route")
        template = str(getattr(route, "path", "unmatched"))
        self._metrics.request(scope["method"], template, status, duration_s)
        principal = scope.get("state", {}).get("principal")
        access_log.info(
            "%s %s %d",
            scope["method"],
            scope["path"],
            status,
            extra={
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "duration_ms": round(duration_s * 1000, 2),
                "client": (scope.get("client") or ("",))[0],
                "principal": principal.token_id if principal else None,
            },
        )


def _announced(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


async def _hear_out(scope: Scope, receive: Receive) -> None:
    """Take in what a caller sends who does not listen before: a connection closed on it would swallow the answer."""
    if "expect" in Headers(scope=scope):
        return
    seen, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(_HEARD_S):
            while more and seen < _HEARD_BYTES:
                message = await receive()
                seen += len(message.get("body", b""))
                more = message.get("more_body", False)


def _too_large(limit: BodyLimit) -> ASGIApp:
    return problem(413, "too_large", limit.words(), hint=limit.hint())


def _limited(receive: Receive, limit: BodyLimit) -> Receive:
    """Count what comes in, so that a body without a length is limited too."""
    seen = 0

    async def receive_on() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit.size:
            raise HTTPException(413, limit.words())
        return message

    return receive_on
