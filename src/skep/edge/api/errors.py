"""Errors become HTTP here and nowhere else: one table, one shape (RFC 9457)."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from skep.edge.wire.problems import MEDIA_TYPE, Problem
from skep.edge.wire.texts import WORDS
from skep.kernel import errors
from skep.kernel.log import request_id

log = logging.getLogger(__name__)

#: The nearest class of an error's ancestry counts.
STATUS: Mapping[type[errors.SkepError], int] = {
    errors.SkepError: 500,
    errors.InvalidError: 422,
    errors.UnauthenticatedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.TooLargeError: 413,
    errors.LimitError: 429,
    errors.UnavailableError: 503,
    errors.FencedError: 503,
}

#: Codes of what the router itself refuses.
ROUTER_CODES: Mapping[int, str] = {
    400: "bad_request",
    404: "no_such_route",
    405: "method_not_allowed",
    413: "too_large",
    415: "content_type",
}
#: Where the answer has no member `fields`, this says nothing.
FIELDS_HINT = "`fields` names each wrong member."
_HINTS: Mapping[str, str] = {
    "no_such_route": "/docs lists what there is.",
    "method_not_allowed": "/docs lists what there is.",
    "content_type": "Send JSON with Content-Type: application/json.",
}
_RETRY_AFTER_S = 2
_MOST_FIELDS = 50


def status_of(error: errors.SkepError) -> int:
    """Return the HTTP status of *error*."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    instance: str = "",
    hint: str | None = None,
    fields: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Render an error."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        hint=hint,
        fields=dict(fields or {}),
        request_id=request_id.get() or "",
        error=detail,
        status_code=status,
    )
    return Response(body.model_dump_json(), status, dict(headers or {}), MEDIA_TYPE)


def of_error(error: errors.SkepError, path: str = "") -> Response:
    """Render one of Skep's own errors; an internal one tells its cause only to the log."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="skep"'
    if status in (429, 503) or error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s or _RETRY_AFTER_S)))
    if status == 500:
        log.error("internal error", exc_info=error)
        return internal(path)
    if error.inside:
        log.warning("an answer that tells callers less", extra={"code": error.code, "why": str(error)})
    return problem(
        status, error.code, error.message, instance=path, hint=error.hint, fields=error.fields, headers=headers
    )


def internal(path: str = "") -> Response:
    """Render what nobody expected; the log has the rest, under the request's id."""
    hint = "The server's log has the reason under this request_id."
    return problem(500, "internal", "Something went wrong inside Skep.", instance=path, hint=hint)


def _of_validation(failure: RequestValidationError, path: str) -> Response:
    found: Sequence[Any] = failure.errors()
    if any(item["type"] == "json_invalid" for item in found):
        detail = f"The body is no JSON: {found[0].get('ctx', {}).get('error', 'it does not parse')}."
        return problem(422, "invalid_json", detail, instance=path, hint=_HINTS["content_type"])
    fields = {_place(item["loc"]): _words(item) for item in found[:_MOST_FIELDS]}
    detail = "Not accepted: " + "; ".join(f"{place}: {words}" for place, words in list(fields.items())[:5]) + "."
    return problem(422, "invalid", detail, instance=path, hint=FIELDS_HINT, fields=fields)


def _place(where: Sequence[str | int]) -> str:
    if where[-1] == "[key]":  # pydantic's mark for a wrong name; it stands behind the name
        where = where[:-1]
    return ".".join(str(part)[:100] for part in where[1:]) or str(where[0])


def _words(item: Mapping[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return "there is no such member"
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "string_pattern_mismatch":
        return WORDS.get(item["ctx"]["pattern"], "has not the form that it needs")
    return str(item["msg"]).removeprefix("Value error, ")


def install(app: FastAPI) -> None:
    """Have every error of *app* answered as a problem."""

    async def skep_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.SkepError)
        return of_error(error, request.url.path)

    async def validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _of_validation(error, request.url.path)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = ROUTER_CODES.get(error.status_code, "http_error")
        detail = error.detail if error.status_code != 404 else f"There is nothing at {request.url.path}."
        return problem(
            error.status_code,
            code,
            detail,
            instance=request.url.path,
            hint=_HINTS.get(code),
            headers=error.headers,
        )

    app.add_exception_handler(errors.SkepError, skep_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, http_error)


def bad_json(reason: str) -> json.JSONDecodeError:
    """Return the error by which FastAPI knows that a body is no JSON."""
    return json.JSONDecodeError(reason, "", 0)
