"""A whole installation, and a quick way to talk to it."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from skep.testing.installation import Installation
from skep.testing.wait import until_sync

_FINAL = ("succeeded", "failed", "cancelled", "timed_out", "lost")


class Caller:
    """Calls the API on one connection that is kept open."""

    def __init__(self, skep: Installation) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(skep.url).netloc, timeout=120)
        self._head = {"Authorization": f"Bearer {skep.token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; return the decoded answer.

        Raises:
            RuntimeError: the answer is an error.
        """
        raw = self._send(method, path, body).read()
        return json.loads(raw) if raw else None

    def follow(self, path: str) -> Iterator[bytes]:
        """Yield the lines of a stream until its end."""
        yield from self._send("GET", path, None, {"Accept": "text/event-stream"})

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _send(self, method: str, path: str, body: Any, more: dict[str, str] | None = None) -> http.client.HTTPResponse:
        data = None if body is None else json.dumps(body)
        self._connection.request(method, "/api/v1" + path, body=data, headers=self._head | (more or {}))
        answer = self._connection.getresponse()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.read().decode(errors='replace')[:500]}")
        return answer

    def build(self, agent: str) -> None:
        """Build an agent, and wait for the end.

        Raises:
            RuntimeError: the build failed.
        """
        build = self.call("POST", f"/agents/{agent}/build")
        self.succeed(f"/builds/{build['id']}")

    def succeed(self, path: str) -> None:
        """Wait until a build or a run has succeeded.

        Raises:
            RuntimeError: it ended otherwise.
        """
        seen: dict[str, Any] = {}

        def ended() -> bool:
            seen.update(self.call("GET", path))
            return seen["status"] in _FINAL

        until_sync(ended, timeout_s=300, what=f"{path} to end")
        if seen["status"] != "succeeded":
            raise RuntimeError(f"{path}: {seen['status']}: {seen.get('error')}")
