"""The description of the API is the API's own, and the files that show it are up to date."""

import json
from pathlib import Path

import pytest

from skep.edge.api.app import all_routes
from skep.edge.api.openapi import operations
from skep.edge.reference import files

DOCS = Path(__file__).parents[3] / "docs" / "api"


@pytest.mark.parametrize("name", sorted(files()))
def test_the_generated_files_are_up_to_date(name):
    """If this fails: python -m skep.edge.reference docs/api."""
    assert (DOCS / name).read_text() == files()[name]


async def test_what_is_served_is_what_is_kept(nobody):
    """The server describes itself with the same words, as OpenAPI 3.1."""
    answer = await nobody("GET", "openapi.json")

    assert answer.json == json.loads(files()["openapi.json"])
    assert answer.json["openapi"].startswith("3.1")


async def test_every_operation_says_who_may_and_how_it_fails(nobody):
    """Scope, security and the shape of errors stand at each operation."""
    described = (await nobody("GET", "openapi.json")).json
    native = [
        operation for operation in operations(all_routes()) if operation.path.startswith("/api/v1/") and operation.scope
    ]

    for operation in native:
        details = described["paths"][operation.path][operation.method.lower()]
        assert details["x-skep-scope"] == operation.scope
        assert details["security"]
        assert "application/problem+json" in details["responses"]["default"]["content"]


async def test_every_creating_route_takes_an_idempotency_key():
    """POST that answers 201, or 202 for something new, is safe to send again."""
    creating = {one.path for one in operations(all_routes()) if one.creates}

    assert creating == {
        f"/api/v1/{path}"
        for path in (
            *("agents", "agents/{agent}/build", "agents/{agent}/webhook", "builds", "uploads"),
            *("runs", "runs/{run}/answer", "tokens", "projects", "secrets"),
        )
    }


async def test_the_page_is_whole_and_loads_nothing(nobody):
    """Every operation stands on it; it has no script and no address but our own."""
    page = await nobody("GET", "/docs")

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<script" not in page.text
    assert "http" not in page.text.replace("https://", "")
    for operation in operations(all_routes()):
        if operation.path.startswith("/api/v1/") and operation.scope:
            assert f"{operation.method} {operation.path}" in page.text
