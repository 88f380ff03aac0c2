"""A user of an installation who speaks plain HTTP: requests, answers, streams, and patience."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from skep.testing.wait import until_sync

FINAL = ("succeeded", "failed", "cancelled", "timed_out", "lost")
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One server-sent event."""

    id: str
    name: str
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Someone with the address of a server, and a token for it."""

    url: str
    token: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    #: What all paths lie below.
    below: str = "/api/v1"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request to a path; a header's name is written with `_`."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + self.below + path, data=data, method=method)
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        for name, value in sent.items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
                return Answer(status=answer.status, headers=answer.headers, raw=answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(status=error.code, headers=error.headers, raw=error.read())

    def get(self, path: str) -> Any:
        """Return what is at a path."""
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer.status, answer.raw)
        return answer.json

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request that must be accepted; return the answer's body."""
        answer = self.ask("POST", path, body, **headers)
        assert answer.status in (200, 201, 202), (path, answer.status, answer.raw)
        return answer.json

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request that must be refused in the shape of a problem; return its status and body."""
        answer = self.ask(method, path, body, **headers)
        assert answer.status >= 400, answer.raw
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json
        assert problem["status"] == problem["status_code"] == answer.status
        assert problem["detail"] == problem["error"]
        return answer.status, problem

    # ---- agents and builds

    def build(self, name: str, source: Mapping[str, Any], **config: Any) -> Any:
        """Make an agent and build it; return the build as it ended."""
        self.post("/agents", {"name": name, "source": source, **config})
        return self.built(self.post(f"/agents/{name}/build")["id"])

    def built(self, build_id: str, timeout_s: float = _PATIENCE_S) -> Any:
        """Wait until a build is over, and return it."""
        return self._ended(f"/builds/{build_id}", timeout_s)

    def agent(self, name: str, program: str, **config: Any) -> str:
        """Make and build an agent of one file; return its name."""
        build = self.build(name, {"files": {"main.py": program}}, **config)
        assert build["status"] == "succeeded", build
        return name

    # ---- runs

    def start(self, agent: str, inputs: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Start a run; return its id."""
        return str(self.post("/runs", {"agent_id": agent, "inputs": inputs or {}, **more})["id"])

    def ended(self, run_id: str, timeout_s: float = _PATIENCE_S) -> Any:
        """Wait until a run is over, and return it."""
        return self._ended(f"/runs/{run_id}", timeout_s)

    def run(self, agent: str, inputs: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Start a run, wait until it is over, and return it."""
        return self.ended(self.start(agent, inputs, **more))

    def until_printed(self, run_id: str, text: str) -> None:
        """Wait until a run has printed *text*."""
        until_sync(
            lambda: text in self.get(f"/runs/{run_id}")["output"]["stdout"],
            timeout_s=_PATIENCE_S,
            what=f"{run_id} to print {text!r}",
        )

    def stream(self, path: str, **headers: str) -> Iterator[Event]:
        """Yield the events of a stream; close the iterator to leave before its end."""
        where = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=_PATIENCE_S)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            accept = {"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream"}
            connection.request("GET", "/api/v1" + path, headers=accept | sent)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            while line := answer.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if not name and "data" in fields:
                    yield Event(id=fields.get("id", ""), name=fields.get("event", ""), data=json.loads(fields["data"]))
                fields = fields | {name: value} if name else {}
        finally:
            connection.close()

    def _ended(self, path: str, timeout_s: float = _PATIENCE_S) -> Any:
        seen: list[Any] = [None]

        def over() -> bool:
            seen[0] = self.get(path)
            return seen[0]["status"] in FINAL

        until_sync(over, timeout_s=timeout_s, what=f"{path} to be over")
        return seen[0]
