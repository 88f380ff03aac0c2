"""The leg from the door to the indexes: judged, retried, with the credentials that are the host's and nobody else's.

Nothing that this module says, logs or raises holds a credential.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp
from yarl import URL

from skep.kernel.clock import Clock
from skep.kernel.errors import InvalidError
from skep.kernel.indexes import Login, basic
from skep.product.gateway.judged import AddressRefusedError, JudgedResolver
from skep.product.gateway.mirror.door_paths import Place, place_of
from skep.product.gateway.model import Policy, Refusal
from skep.product.gateway.policy import decide, decide_address
from skep.product.gateway.ports import Resolver
from skep.product.gateway.queues import Queues
from skep.product.gateway.site import Answer, failure

_REDIRECTS = 5
_REDIRECT = frozenset({301, 302, 303, 307, 308})
_AGAIN = frozenset({429, 500, 502, 503, 504})
_CONNECT_S, _READ_S = 15.0, 60.0
#: Before the second try, the third, ...
_WAITS_S = (0.3, 1.0, 2.5)
_LONGEST_WAIT_S = 10.0
#: For so long a server that was tried in vain is not tried again: hundreds of requests would wait one by one.
_DOWN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamLimits:
    """What all builds together may ask of one server."""

    #: Answers that are open at once.
    at_once: int = 32
    #: For one of them to end.
    patience_s: float = 30.0


class UpstreamError(Exception):
    """An index did not give what was asked for; it becomes the door's answer.

    What is refused is 424, not 401 or 403: at those uv and npm speak of the user's own credentials, and uv looks
    for the package elsewhere. They print the words of a 424, and do not try again.
    """

    def __init__(
        self, status: int, reason: str, place: Place, *, hint: str = "", refusal: Refusal | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.place = place
        self.hint = hint
        self.refusal = refusal

    @property
    def answer(self) -> Answer:
        """Return what the client is told."""
        place = self.place
        return failure(self.status, self.reason, host=place.host, port=place.port, hint=self.hint, refusal=self.refusal)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """How something is asked for, wherever it leads."""

    headers: Mapping[str, str]
    encoded: bool
    anonymous: bool
    marks: bool


@dataclass(frozen=True, slots=True)
class _Down:
    until: float
    reason: str


class Upstream:
    """Fetches from the operator's indexes; one per process."""

    def __init__(
        self,
        policy: Policy,
        resolver: Resolver,
        clock: Clock,
        logins: Sequence[Login],
        tls: ssl.SSLContext,
        waits_s: Sequence[float] = _WAITS_S,
        limits: UpstreamLimits | None = None,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._clock = clock
        self._logins = tuple(logins)
        self._tls = tls
        self._waits_s = tuple(waits_s)
        self._limits = limits or UpstreamLimits()
        self._queues = Queues(self._limits.at_once, self._limits.patience_s)
        self._session: aiohttp.ClientSession | None = None
        #: By scheme, host and port, or by address.
        self._down: dict[object, _Down] = {}

    async def close(self) -> None:
        """Cut every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        fine: Sequence[int] = (200,),
        encoded: bool = False,
        anonymous: bool = False,
        marks: bool = True,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Hold the answer to a GET open, redirects followed, its body not yet read.

        Args:
            url: http or https; its user and password are sent to its own host.
            headers: besides those that are always sent.
            fine: statuses that are no error.
            encoded: a page, which may come compressed; a file comes as it is.
            anonymous: no credentials are sent to anybody.
            marks: a server that cannot be reached is left alone for a while, by all who ask for something of it; not to
                be said of an address that a sandbox chose.

        Raises:
            UpstreamError: it may not be fetched, could not be reached, or answered with another status.
        """
        asked = {"Accept-Encoding": "gzip, deflate" if encoded else "identity", **(headers or {})}
        asking = _Asking(headers=asked, encoded=encoded, anonymous=anonymous, marks=marks and not anonymous)
        async with AsyncExitStack() as turn:
            response = self._checked(*await self._follow(url, asking, turn), frozenset(fine))
            try:
                yield response
            finally:
                # What was not read to its end would be read before the connection is used again.
                response.close() if not response.content.at_eof() else response.release()

    async def _follow(self, url: str, asking: _Asking, turn: AsyncExitStack) -> tuple[aiohttp.ClientResponse, Place]:
        place, own = self._place(url, None), _own_login(url)
        first = place
        for _ in range(_REDIRECTS + 1):
            login = {} if asking.anonymous else self._login(place, own if place.origin == first.origin else "")
            response = await self._tried(place, replace(asking, headers={**asking.headers, **login}), turn)
            if response.status not in _REDIRECT:
                return response, place
            target = response.headers.get("Location", "")
            response.close()
            await turn.aclose()
            place = self._place(urljoin(place.url, target), place)
        raise UpstreamError(502, f"{first.authority} redirects more than {_REDIRECTS} times", first)

    def _place(self, url: str, before: Place | None) -> Place:
        try:
            place = place_of(url)
        except InvalidError as error:
            where = before or Place(scheme="http", host="", port=0, path="")
            said = f"{before.authority} redirects to what cannot be fetched" if before else error.message.rstrip(".")
            raise UpstreamError(502 if before else 400, said, where, refusal=Refusal.REQUEST) from error
        self._allow(place)
        return place

    def _allow(self, place: Place) -> None:
        verdict = decide(self._policy, place.host, place.port)
        if not verdict.allowed:
            hint = self._policy.advice
            raise UpstreamError(424, verdict.reason, place, hint=hint, refusal=Refusal.UNLISTED)
        if _is_address(place.host):
            # aiohttp asks no resolver about these.
            verdict = decide_address(self._policy, place.host, place.port, place.host)
            if not verdict.allowed:
                raise UpstreamError(424, verdict.reason, place, refusal=Refusal.ADDRESS)

    def has_login(self, place: Place) -> bool:
        """Tell whether the operator has credentials for *place*."""
        return bool(self._login(place, ""))

    def _login(self, place: Place, own: str) -> dict[str, str]:
        if own:
            return {"Authorization": own}
        mine = [login for login in self._logins if _speaks_of(login, place)]
        # Of two that speak of the same, the later one is the nearer setting.
        best = max(reversed(mine), key=lambda login: len(login.path), default=None)
        return {"Authorization": best.header.reveal()} if best is not None else {}

    async def _tried(self, place: Place, asking: _Asking, turn: AsyncExitStack) -> aiohttp.ClientResponse:
        """Ask until there is an answer that is no passing failure; it is open for as long as its *turn* is kept."""
        here, now = place.origin, self._clock.monotonic()
        for known in (self._down.get(here), self._down.get(place)):
            if known is not None and now < known.until:
                raise UpstreamError(502, known.reason, place)
        said, about = "", object()
        for wait_s in (*self._waits_s, None):
            least_s = 0.0
            await self._wait(place, turn)
            try:
                response = await self._ask(place, asking)
            except AddressRefusedError as error:
                raise UpstreamError(424, str(error), place, refusal=Refusal.ADDRESS) from None
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                said, about = _why(error), here
            else:
                if response.status not in _AGAIN:
                    return response
                said, about, least_s = f"it answered {response.status}", place, _retry_after_s(response)
                response.close()
            await turn.aclose()
            if wait_s is not None:
                await asyncio.sleep(max(wait_s, least_s))
        reason = f"the index {place.authority} was tried {len(self._waits_s) + 1} times in vain: {said}"
        if asking.marks:
            self._remember(about, reason)
        raise UpstreamError(502, reason, place)

    async def _wait(self, place: Place, turn: AsyncExitStack) -> None:
        try:
            await turn.enter_async_context(self._queues.turn(place.origin))
        except TimeoutError:
            said = f"the index {place.authority} is asked for {self._limits.at_once} things already; try again"
            raise UpstreamError(503, said, place) from None

    def _remember(self, about: object, reason: str) -> None:
        now = self._clock.monotonic()
        self._down = {key: down for key, down in self._down.items() if now < down.until}
        self._down[about] = _Down(now + _DOWN_S, reason)

    async def _ask(self, place: Place, asking: _Asking) -> aiohttp.ClientResponse:
        try:
            # Encoded already, and read by our own parser: yarl is to change nothing.
            return await self._open().get(
                URL(place.url, encoded=True),
                headers=asking.headers,
                allow_redirects=False,
                auto_decompress=asking.encoded,
            )
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefusedError):
                raise error.os_error from error
            raise

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=JudgedResolver(self._policy, self._resolver),
                use_dns_cache=False,
                ssl=self._tls,
                limit=0,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S),
                headers={"User-Agent": "skep"},
                trust_env=False,
            )
        return self._session

    def _checked(self, response: aiohttp.ClientResponse, place: Place, fine: frozenset[int]) -> aiohttp.ClientResponse:
        status = response.status
        if status in fine:
            return response
        response.close()
        if status in (401, 403):
            hint = "The operator's settings of pip, uv, npm or ~/.netrc say user and password."
            raise UpstreamError(424, f"the index {place.authority} refused access ({status})", place, hint=hint)
        if status in (404, 410):
            raise UpstreamError(404, f"the index {place.authority} has no such thing", place)
        raise UpstreamError(502, f"the index {place.authority} answered {status}", place)


def _own_login(url: str) -> str:
    """Return the header of the user and password in *url*, "" if it has none."""
    user_info = urlsplit(url).netloc.rpartition("@")[0]
    user, _, password = user_info.partition(":")
    return basic(unquote(user), unquote(password)).reveal() if user_info else ""


def _speaks_of(login: Login, place: Place) -> bool:
    try:
        origin = place_of(login.origin)
    except InvalidError:
        return False
    return origin.origin == place.origin and (place.path.startswith(login.path.rstrip("/") + "/") or login.path == "/")


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _retry_after_s(response: aiohttp.ClientResponse) -> float:
    said = response.headers.get("Retry-After", "")
    return min(float(said), _LONGEST_WAIT_S) if said.isascii() and said.isdigit() else 0.0


def _why(error: Any) -> str:
    """Say what a failure was, without what could be a credential."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not one that SKEP_CA_FILE vouches for"
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error.strerror or error.os_error) if error.os_error else "it cannot be reached"
    if isinstance(error, OSError):
        return str(error.strerror or error)
    return "the connection broke off"
