"""How a request comes in: the caller is known before the body is read, and the body is strict JSON."""

import math
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any, cast

import pydantic_core
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from skep.edge.api.auth import Needs
from skep.edge.api.errors import bad_json
from skep.kernel.errors import InvalidError, NotFoundError

_TOO_MANY_BITS = 4096


class JsonRequest(Request):
    """A request whose JSON has no NaN, no lone surrogate, no depth and no number that cannot be written again."""

    async def json(self) -> Any:
        """Parse the body; `json.JSONDecodeError` if it is not strict JSON."""
        try:
            value: Any = pydantic_core.from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            raise bad_json(_said(str(error))) from error
        if not _finite(value):
            raise bad_json("a number is too large")
        return value


def _said(error: str) -> str:
    """Say in a person's words what the parser found, where its own are about Unicode's."""
    what, _, place = error.partition(" at line ")
    if any(word in what for word in ("surrogate", "code point", "hex escape")):
        return f"a text in it is no UTF-8 (line {place}); what is no text has to be encoded, as base64 for example"
    return error


def _finite(value: Any) -> bool:
    match value:
        case dict():
            return all(_finite(item) for item in cast("Mapping[str, Any]", value).values())
        case list():
            return all(_finite(item) for item in cast("Sequence[Any]", value))
        case float():
            return math.isfinite(value)
        case int():
            return value.bit_length() <= _TOO_MANY_BITS
        case _:
            return True


class CheckedRoute(APIRoute):
    """A route that admits its caller first."""

    @property
    def needs(self) -> Needs | None:
        """What the route declares; None means that it is open."""
        return next((d.call for d in self.dependant.dependencies if isinstance(d.call, Needs)), None)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with the check in front."""
        handler = super().get_route_handler()
        needs = self.needs
        wants_json = self.body_field is not None
        known = {"project", *_arguments(self.dependant)}

        async def checked(request: Request) -> Response:
            if needs is not None:
                await needs.admit(request)
            _check_texts(request)
            _check_arguments(request, known)
            if wants_json and _has_body(request):
                _check_content_type(request)
            return await handler(JsonRequest(request.scope, request.receive))

        return checked


def _arguments(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for below in dependant.dependencies:
        yield from _arguments(below)


def _check_arguments(request: Request, known: Collection[str]) -> None:
    """Refuse an unknown argument: a filter with a typing mistake must not list everything."""
    unknown = sorted({name[:50] for name in request.query_params if name not in known})
    if unknown:
        words = "there is no such argument" + (f"; there are {', '.join(sorted(known))}" if known else "")
        raise InvalidError(f"Unknown arguments: {', '.join(unknown[:5])}.", fields=dict.fromkeys(unknown[:5], words))


def _check_texts(request: Request) -> None:
    """Refuse what no text of ours can hold, before a database is asked: each one has words of its own for it."""
    if any(_unwritable(str(part)) for part in request.path_params.values()):
        raise NotFoundError("There is no such thing: no id, name or path holds the character NUL.")
    wrong = {
        name[:50]: "the character NUL cannot be in it"
        for name, text in request.query_params.multi_items()
        if _unwritable(text)
    }
    if wrong:
        raise InvalidError("An argument holds the character NUL.", fields=wrong)


def _unwritable(text: str) -> bool:
    return "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _check_content_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HTTPException(415, f"The body is {kind[:100]}; this takes JSON.")
