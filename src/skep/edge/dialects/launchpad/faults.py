"""Errors in Launchpad's shape: whatever problem is answered on one of its paths, wherever it was found."""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skep.edge.api.errors import FIELDS_HINT
from skep.edge.api.openapi import ErrorShape
from skep.edge.dialects.launchpad.shapes import Fault
from skep.edge.wire.problems import MEDIA_TYPE

_JSON = "application/json"
ERRORS = ErrorShape(model=Fault, media_type=_JSON, words="What happened and what to do, and the HTTP status.")
_OURS = re.compile(r"/api/(agent|agents|inbox|echo)(/.*)?", re.DOTALL)


def is_ours(path: str) -> bool:
    """Tell whether *path* is one that Launchpad has, or could have."""
    return _OURS.fullmatch(path) is not None


class Faults:
    """Says each problem on Launchpad's paths as `{"error": ..., "status_code": ...}`; status and headers stay."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and is_ours(scope["path"]):
            await self._app(scope, receive, _Reworded(send))
        else:
            await self._app(scope, receive, send)


class _Reworded:
    """Holds back a problem's head until its body, which is short, is there."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_problem(message):
            self._head = message
        elif self._head is None:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._reword(self._head)

    async def _reword(self, head: Message) -> None:
        self._head = None
        # An answer to HEAD has no body; its length is left out, as it may be.
        body = reworded(json.loads(self._body)) if self._body else b""
        headers = MutableHeaders(raw=list(head["headers"]))
        headers["Content-Type"] = _JSON
        del headers["Content-Length"]
        if body:
            headers["Content-Length"] = str(len(body))
        await self._send({**head, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def reworded(problem: Mapping[str, Any]) -> bytes:
    """Return what Launchpad says in place of *problem*: what happened and what to do, and the HTTP status.

    It has no member for wrong fields: what is not in the words yet is added to them.
    """
    detail, hint = problem["detail"], problem.get("hint")
    fields = "; ".join(f"{name}: {what}" for name, what in problem.get("fields", {}).items() if what not in detail)
    words = " ".join(part for part in (detail, fields and f"{fields}.", hint != FIELDS_HINT and hint) if part)
    return Fault(error=words, status_code=problem["status"]).model_dump_json().encode()


def _is_problem(head: Message) -> bool:
    return MutableHeaders(raw=list(head["headers"])).get("content-type", "") == MEDIA_TYPE
