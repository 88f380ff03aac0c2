"""One HTTP request, repeated where a repeat is harmless; and event streams that go on after a broken connection."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import aiohttp
from pydantic import BaseModel

from skep.edge.client.errors import ApiError, from_answer
from skep.edge.client.sse import EventParser, ServerEvent
from skep.kernel.errors import SkepError, UnavailableError

M = TypeVar("M", bound=BaseModel)

PREFIX = "/api/v1"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 2.0
_RETRIED = frozenset({502, 503, 504})
#: What no waiting heals soon.
_LASTING = frozenset({"disk_full"})

#: A wire model, a JSON object that holds what a model would mask, or something that yields the bytes afresh.
Body = BaseModel | Mapping[str, Any] | Callable[[], AsyncIterator[bytes]] | None
Params = Mapping[str, Any]
#: Hears why a request is repeated; once for each time that the server is away.
Waiting = Callable[[SkepError], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request is repeated while the server is away."""

    #: Before the server has answered anything at all.
    first_s: float = 2.0
    #: Once it is known to exist: it may be restarting.
    later_s: float = 60.0
    #: A read before anything was begun or followed, and what waiting does not heal soon.
    short_s: float = 5.0
    #: Without a byte of an answer; an open event stream says something every 15 s.
    answer_s: float = 60.0


class Transport:
    """Speaks to one server with one token."""

    def __init__(
        self,
        url: str,
        token: str,
        project: str | None,
        *,
        tls: SSLContext | None,
        patience: Patience,
        waiting: Waiting | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._patience = patience
        self._tls: SSLContext | bool = tls if tls is not None else True
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "skep-client"}
        if project:
            self._headers["X-Skep-Project"] = project
        self._session: aiohttp.ClientSession | None = None
        self._waiting = waiting
        self._reached = False
        #: Something was begun or is followed: now reads have patience, too.
        self._begun = False
        self._told = False
        #: When a stream last brought anything.
        self._contact = 0.0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self._patience.answer_s),
            # Proxies of the environment are honoured; a token is never sent on to where a redirect points.
            trust_env=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # ---- single answers

    async def call(
        self,
        answer: type[M],
        method: str,
        path: str,
        *,
        body: Body = None,
        params: Params | None = None,
        creates: bool = False,
    ) -> M:
        """Send a request and read the answer as *answer*; a creating one carries an Idempotency-Key.

        Raises:
            ApiError: the server says no.
            UnavailableError: it cannot be reached.
        """
        return answer.model_validate_json(await self.send(method, path, body=body, params=params, creates=creates))

    async def send(
        self, method: str, path: str, *, body: Body = None, params: Params | None = None, creates: bool = False
    ) -> bytes:
        """Send a request and return the answer's bytes, repeating it while the server is away."""
        headers = {"Idempotency-Key": secrets.token_hex(16)} if creates else {}

        async def once() -> bytes:
            async with self._request(method, path, body, params, headers) as answer:
                content = await answer.read()
                if answer.status >= 300:
                    raise from_answer(answer.status, answer.headers, content)
                return content

        content = await self._patiently(once, reads=method == "GET")
        self._begun |= creates
        return content

    def persist(self) -> None:
        """Have patience with reads from now on: something is followed with them."""
        self._begun = True

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """Yield the bytes of an answer; a broken connection is an error, nothing is repeated."""
        try:
            async with self._request("GET", path, None, None, {}) as answer:
                if answer.status >= 300:
                    raise from_answer(answer.status, answer.headers, await answer.read())
                async for piece in answer.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error

    def _request(self, method: str, path: str, body: Body, params: Params | None, headers: Mapping[str, str]) -> Any:
        assert self._session is not None, "use the client as an async context manager"
        data: Any = None
        headers = dict(headers)
        if isinstance(body, (BaseModel, Mapping)):
            data = _json(cast("BaseModel | Mapping[str, Any]", body))
            headers["Content-Type"] = "application/json"
        elif body is not None:
            data = body()
            headers["Content-Type"] = "application/octet-stream"
        chosen = {name: _param(value) for name, value in (params or {}).items() if value not in (None, "", ())}
        return self._session.request(
            method,
            self.url + path,
            params=chosen,
            data=data,
            headers=headers,
            ssl=self._tls,
            allow_redirects=False,
        )

    async def _patiently(self, once: Callable[[], Awaitable[bytes]], *, reads: bool) -> bytes:
        """Repeat *once* while the server is away: every request of this client may be repeated."""
        loop = asyncio.get_running_loop()
        began, wait_s = loop.time(), _FIRST_WAIT_S
        while True:
            try:
                content = await once()
            except ApiError as error:
                self._reached = True
                if not _repeatable(error) or self._given_up(error, began, reads=reads):
                    raise
                wait_s = max(wait_s, min(error.retry_after_s or 0.0, _LONGEST_WAIT_S))
            except (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL) as error:
                raise self._unreachable(error) from error
            except (aiohttp.ClientError, TimeoutError) as error:
                away = self._unreachable(error)
                if self._given_up(away, began, reads=reads):
                    raise away from error
            else:
                self._reached, self._told = True, False
                return content
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _given_up(self, error: SkepError, began: float, *, reads: bool = False) -> bool:
        """Tell whether there was waiting enough; if not, say that it goes on, once."""
        limit_s = self._patience.later_s
        if not self._reached:
            limit_s = self._patience.first_s
        elif error.code in _LASTING or (reads and not self._begun):
            limit_s = min(limit_s, self._patience.short_s)
        if asyncio.get_running_loop().time() - began >= limit_s:
            return True
        if self._waiting is not None and self._reached and not self._told:
            self._told = True
            self._waiting(error)
        return False

    def _unreachable(self, error: BaseException) -> UnavailableError:
        return UnavailableError(
            f"{self.url} cannot be reached: {str(error) or 'no answer in time'}",
            code="unreachable",
            hint="is it running? `skep up` starts one on this machine; SKEP_URL points elsewhere",
        )

    # ---- streams

    async def events(self, path: str, *, params: Params | None = None, last_id: str = "") -> AsyncIterator[ServerEvent]:
        """Yield a stream's events until the server says `end`, through any number of broken connections.

        Each new connection goes on after the last event that arrived (`Last-Event-ID`).
        """
        began, wait_s = asyncio.get_running_loop().time(), _FIRST_WAIT_S
        while True:
            try:
                async for event in self._stream_once(path, params, last_id):
                    if event.event == "end":
                        return
                    last_id, wait_s = event.id or last_id, _FIRST_WAIT_S
                    yield event
            except ApiError as error:
                self._reached = True
                if not _repeatable(error) or self._given_up(error, max(began, self._contact)):
                    raise
            except (aiohttp.ClientError, TimeoutError) as error:
                away = self._unreachable(error)
                if self._given_up(away, max(began, self._contact)):
                    raise away from error
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _stream_once(self, path: str, params: Params | None, last_id: str) -> AsyncIterator[ServerEvent]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        parser = EventParser()
        async with self._request("GET", path, None, params, headers) as answer:
            if answer.status >= 300:
                raise from_answer(answer.status, answer.headers, await answer.read())
            self._reached, self._begun, self._told = True, True, False
            async for piece in answer.content.iter_any():
                self._contact = asyncio.get_running_loop().time()
                for event in parser.feed(piece):
                    yield event


def _json(body: BaseModel | Mapping[str, Any]) -> bytes:
    if isinstance(body, BaseModel):
        return body.model_dump_json(exclude_unset=True).encode()
    return json.dumps(body).encode()


def _repeatable(error: ApiError) -> bool:
    """Tell whether the same request may do better a little later."""
    return error.status in _RETRIED or error.code == "idempotency_in_flight"


def _param(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(part) for part in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)
