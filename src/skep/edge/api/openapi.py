"""The description of the API: OpenAPI 3.1, a page for people, a table of scopes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from skep import __version__
from skep.edge.api.idempotency import once
from skep.edge.api.requests import CheckedRoute
from skep.edge.wire.problems import MEDIA_TYPE, Problem

Described = dict[str, Any]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{font:14px ui-monospace,monospace}td,th{text-align:left;padding:.3rem .8rem .3rem 0;vertical-align:top}"
)


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Operation:
    """A route, and the scope that it needs; "" means that it is open."""

    path: str
    method: str
    scope: str
    summary: str
    #: True if it takes an Idempotency-Key.
    creates: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShape:
    """What every error of an API looks like."""

    model: type[BaseModel]
    media_type: str
    words: str


PROBLEMS = ErrorShape(model=Problem, media_type=MEDIA_TYPE, words="Problem details (RFC 9457).")
_SUMMARY = "Builds AI agents from source, runs each in its own sandbox, keeps all their work durable."


def operations(routes: list[APIRoute]) -> list[Operation]:
    """List the operations of *routes*, by path and method."""
    return sorted(_operations(routes))


def _operations(routes: list[APIRoute]) -> Iterator[Operation]:
    for route in routes:
        needs = route.needs if isinstance(route, CheckedRoute) else None
        creates = any(dependency.call is once for dependency in route.dependant.dependencies)
        for method in route.methods or ():
            yield Operation(
                path=route.path_format,
                method=method,
                scope=needs.scope if needs else "",
                summary=(route.description or "").partition("\n")[0],
                creates=creates,
            )


def describe(app: FastAPI, found: list[Operation], errors: ErrorShape = PROBLEMS, summary: str = _SUMMARY) -> Described:
    """Return the OpenAPI description of *app*, whose errors look like *errors*."""
    described: Described = get_openapi(
        title=app.title,
        version=__version__,
        openapi_version="3.1.0",
        summary=summary,
        routes=app.routes,
    )
    parts = described.setdefault("components", {})
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-Skep-Token"},
    }
    schemas = parts.setdefault("schemas", {})
    schemas[errors.model.__name__] = errors.model.model_json_schema(mode="serialization")
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for operation in found:
        details = described["paths"].get(operation.path, {}).get(operation.method.lower())
        if details is not None:
            _finish(details, operation, errors)
    return described


def _finish(details: Described, operation: Operation, errors: ErrorShape) -> None:
    """Add what all operations share: who may, in which project, once, and how errors look."""
    parameters = details.setdefault("parameters", [])
    if operation.scope:
        details["security"] = [{"bearer": []}, {"header": []}]
        details["x-skep-scope"] = operation.scope
        parameters.append(
            _header("X-Skep-Project", "The project (id or name), for a token that is good for every one.")
        )
    if operation.creates:
        parameters.append(_header("Idempotency-Key", "Sent again with the same body, the request does nothing again."))
    responses = details.setdefault("responses", {})
    responses.pop("422", None)
    responses["default"] = {
        "description": errors.words,
        "content": {errors.media_type: {"schema": {"$ref": f"#/components/schemas/{errors.model.__name__}"}}},
    }


def _header(name: str, words: str) -> Described:
    return {"name": name, "in": "header", "required": False, "description": words, "schema": {"type": "string"}}


def page(described: Mapping[str, Any]) -> str:
    """Return the description as one page that loads nothing."""
    rows = "\n".join(_rows(described))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Skep API</title><style>{_STYLE}</style>'
        f"<h1>Skep API {escape(str(described['info']['version']))}</h1>"
        "<p>Send <code>Authorization: Bearer skep_...</code>. Errors are problem details (RFC 9457). "
        'The whole description: <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.</p>'
        f"<table><tr><th>Operation<th>Scope<th>What it does</tr>\n{rows}\n</table></html>\n"
    )


def root_page(places: Mapping[str, str]) -> str:
    """Return what a person sees at the root: the names of *places*, linked to their paths."""
    items = "".join(f'<li><a href="{escape(path)}">{escape(what)}</a></li>' for what, path in places.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Skep</title><style>{_STYLE}</style>'
        "<h1>Skep</h1><p>This server is used by the command <code>skep</code> and by its API.</p>"
        f"<ul>{items}</ul></html>\n"
    )


def _rows(described: Mapping[str, Any]) -> Iterator[str]:
    paths = cast("Mapping[str, Mapping[str, Mapping[str, Any]]]", described["paths"])
    for path, methods in sorted(paths.items()):
        for method, details in methods.items():
            words = escape(str(details.get("description", "")))
            scope = escape(str(details.get("x-skep-scope", "open")))
            yield f"<tr><td><code>{method.upper()} {escape(path)}</code><td>{scope}<td>{words}</tr>"


def scope_table(found: list[Operation]) -> str:
    """Return the table of scopes, in Markdown."""
    rows = [f"| `{one.method}` | `{one.path}` | {one.scope or 'open'} | {one.summary} |" for one in found]
    head = [
        "# Scopes",
        "",
        "Generated by `python -m skep.edge.reference docs/api`; a test fails when it is not up to date.",
        "`admin` includes `operate`, that `invoke`, that `read`; `admin` includes `metrics` as well, which is alone.",
        "Open routes need no token. `HEAD` is answered wherever `GET` is, with the same scope.",
        "",
        "| method | path | scope | what it does |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"
