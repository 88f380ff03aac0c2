"""Idempotency-Key: a creating request that is sent again is answered again, and does nothing again."""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from skep.edge.api.services import Services, services_of
from skep.kernel.clock import to_ms
from skep.kernel.database import Also, Tx
from skep.kernel.errors import ConflictError, InvalidError
from skep.kernel.secret import Secret
from skep.product.access.model import KeptAnswer, Principal

T = TypeVar("T")

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
REPLAYED = "Idempotent-Replayed"

#: Does what is asked, and runs the given function in the same transaction.
Act = Callable[[Also[T] | None], Awaitable[T]]


class InFlight:
    """The keys whose requests are being answered by this process."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str, str]] = set()

    @contextmanager
    def only(self, key: tuple[str, str, str]) -> Generator[None]:
        """Hold *key*; `ConflictError` if another request holds it."""
        if key in self._keys:
            raise ConflictError(
                "A request with this Idempotency-Key is being answered.",
                code="idempotency_in_flight",
                hint="Wait a moment and send it again.",
                retry_after_s=1,
            )
        self._keys.add(key)
        try:
            yield
        finally:
            self._keys.discard(key)


@dataclass(slots=True)
class BodyDigest:
    """Hashes a body: all at once, or as it streams by."""

    _hash: Any

    @classmethod
    def new(cls) -> "BodyDigest":
        """Start with nothing."""
        return cls(hashlib.sha256())

    async def over(self, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass *data* on, and hash it."""
        async for piece in data:
            self._hash.update(piece)
            yield piece

    def add(self, data: bytes) -> None:
        """Hash *data*."""
        self._hash.update(data)

    @property
    def text(self) -> str:
        """The SHA-256 so far, hex."""
        return str(self._hash.hexdigest())


class Once:
    """Answers one creating request, at most once for its Idempotency-Key."""

    def __init__(self, request: Request, services: Services, in_flight: InFlight) -> None:
        self._request = request
        self._services = services
        self._in_flight = in_flight
        self._digest = BodyDigest.new()
        self._large = False
        keys = request.headers.getlist("idempotency-key")
        if len(keys) > 1 or any(_KEY.fullmatch(key) is None for key in keys):
            words = "one key of 1 to 255 visible ASCII characters"
            raise InvalidError("The Idempotency-Key is not one.", fields={"Idempotency-Key": words})
        self._key = keys[0] if keys else None

    async def answer_large(
        self,
        status: int,
        act: Callable[[AsyncIterator[bytes], Also[T] | None], Awaitable[T]],
        render: Callable[[T], BaseModel],
    ) -> Response:
        """Do as `answer` does with a body that is too large to be held: *act* reads it as it comes."""
        self._large = True
        return await self.answer(status, lambda also: act(self._stream(), also), render)

    def _stream(self) -> AsyncIterator[bytes]:
        return self._digest.over(self._request.stream())

    async def answer(
        self, status: int, act: Act[T], render: Callable[[T], BaseModel], *, sealed: bool = False
    ) -> Response:
        """Have *act* do it and answer with what it made; *sealed* answers hold a secret and are kept encrypted."""
        if self._key is None:
            return _json(status, render(await act(None)).model_dump_json())
        principal: Principal = self._request.state.principal
        path = f"{self._request.url.path}@{principal.project_id}"
        with self._in_flight.only((principal.token_id, path, self._key)):
            return await self._keyed(principal, path, self._key, status, act, render, sealed=sealed)

    async def _keyed(
        self,
        principal: Principal,
        path: str,
        key: str,
        status: int,
        act: Act[T],
        render: Callable[[T], BaseModel],
        *,
        sealed: bool,
    ) -> Response:
        if not self._large:
            self._digest.add(await self._request.body())
        answers = self._services.answers
        kept = await self._services.db.read(lambda tx: answers.get(tx, principal.token_id, path, key))
        if kept is not None:
            return await self._replay(kept)

        def keep(tx: Tx, made: T) -> None:
            body = render(made).model_dump_json()
            answer = KeptAnswer(
                token_id=principal.token_id,
                path=path,
                key=key,
                body_digest=self._digest.text,
                status=status,
                body=self._seal(body, key) if sealed else body,
                created_ms=to_ms(self._services.clock.now()),
            )
            answers.put(tx, answer)

        return _json(status, render(await act(keep)).model_dump_json())

    async def _replay(self, kept: KeptAnswer) -> Response:
        if self._large:
            async for _ in self._stream():
                pass
        if kept.body_digest != self._digest.text:
            raise InvalidError(
                "This Idempotency-Key was used with another body.",
                code="idempotency_mismatch",
                hint="Use a new key for a new request.",
            )
        return _json(kept.status, self._open(kept.body, kept.key), {REPLAYED: "true"})

    def _seal(self, body: str, key: str) -> str:
        nonce, ciphertext = self._services.sealer.seal(Secret(body), f"answer:{key}")
        return f"sealed:{self._services.sealer.key_id}:{nonce.hex()}:{ciphertext.hex()}"

    def _open(self, body: str, key: str) -> str:
        if not body.startswith("sealed:"):
            return body
        _, key_id, nonce, ciphertext = body.split(":")
        context = f"answer:{key}"
        return self._services.sealer.open(bytes.fromhex(nonce), bytes.fromhex(ciphertext), context, key_id).reveal()


def _json(status: int, body: str, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, "application/json")


def once(request: Request) -> Once:
    """Return what answers this request once: the dependency of every creating route."""
    in_flight: InFlight = request.app.state.in_flight
    return Once(request, services_of(request), in_flight)


Creating = Annotated[Once, Depends(once)]
