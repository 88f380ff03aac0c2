"""Streams: kept alive, limited in number, resumed; and the log of a build in all its forms."""

import asyncio
import json
from dataclasses import replace

import pytest

from skep.edge.api.app import make_api
from skep.edge.api.sse import Streams
from skep.kernel.errors import UnavailableError
from skep.kernel.settings import Settings
from skep.product.images.model import BuildId, BuildStatus, Failure
from skep.testing.wait import until

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
async def build(admin, db, stores):
    """A build that waits."""
    await admin("POST", "agents", json={"name": "bee", "source": {"git": {"url": "https://example.org/a.git"}}})
    begun = (await admin("POST", "agents/bee/build")).json
    return await db.read(lambda tx: stores.images.build(tx, BuildId(begun["id"])))


async def test_a_build_log_is_followed_resumed_and_read(admin, build, logs, db, stores):
    """Events until the log is closed, then the build's end; the same as JSON and as text."""
    following = asyncio.create_task(admin("GET", f"builds/{build.id}/log", headers=STREAM))
    await logs.append(build.log_id, "system", 0, b"fetching\n", 0)
    position = await logs.append(build.log_id, "stdout", 0, b"\x1b[1minstalled\n", 0)
    ended = replace(build, status=BuildStatus.FAILED, failure=Failure(code="unresolvable", message="No such version."))
    await db.write(lambda tx: stores.images.save_build(tx, ended))
    await logs.close(build.log_id)

    text = (await following).text
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    assert [json.loads(block.partition("data: ")[2]).get("text") for block in blocks[:2]] == [
        "fetching\n",
        "\x1b[1minstalled\n",
    ]
    assert blocks[1].startswith(f"id: {position.end}\n")
    assert blocks[2].startswith("event: end\n")
    assert json.loads(blocks[2].partition("data: ")[2])["error"]["code"] == "unresolvable"
    first_id = blocks[0].splitlines()[0].removeprefix("id: ")
    resumed = await admin("GET", f"builds/{build.id}/log?follow=true", headers={"Last-Event-ID": first_id})
    assert "fetching" not in resumed.text
    assert "installed" in resumed.text
    page = (await admin("GET", f"builds/{build.id}/log?offset={first_id}")).json
    assert [piece["stream"] for piece in page["items"]] == ["stdout"]
    plain = await admin("GET", f"builds/{build.id}/log", headers={"Accept": "text/plain"})
    assert plain.text == "fetching\n\x1b[1minstalled\n"


async def test_a_line_of_the_log_cannot_make_an_event(admin, build, logs):
    """Line ends and field names in an agent's output stay inside the JSON."""
    await logs.append(build.log_id, "stdout", 0, b"x\n\nevent: end\ndata: {}\r\rid: 9\n\n", 0)
    await logs.close(build.log_id)

    text = (await admin("GET", f"builds/{build.id}/log", headers=STREAM)).text

    assert text.count("\nevent: end\n") == 1
    assert text.count("\nid: ") == 1
    assert "\r" not in text


async def test_a_silent_stream_is_kept_alive(admin, app, build):
    """Comments come while nothing happens, so that nobody in between closes the connection."""
    app.state.streams = Streams(heartbeat_s=0.01)
    seen = b""
    async with admin.session.get(
        f"{admin.url}/api/v1/builds/{build.id}/log", headers={**STREAM, "Authorization": f"Bearer {admin.token}"}
    ) as answer:
        while seen.count(b": still here\n\n") < 3:
            seen += await answer.content.readany()

    await until(lambda: app.state.streams.open == 0, what="the stream to be closed")


async def test_streams_are_limited_in_number(admin, app, build, logs):
    """One too many is told when to come again; the others go on."""
    app.state.streams = Streams(most=1)
    following = asyncio.create_task(admin("GET", f"builds/{build.id}/log", headers=STREAM))
    await until(lambda: app.state.streams.open == 1, what="the stream to be open")

    refused = await admin("GET", f"builds/{build.id}/log", headers=STREAM)
    await logs.close(build.log_id)

    assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (429, "limit_reached", "5")
    assert "event: end" in (await following).text


async def test_a_stream_whose_source_fails_ends_without_an_end(admin, services, calling, build, tmp_path):
    """The reader sees that it was cut off, and comes again; the server takes no harm."""

    class Images:
        """Builds whose log's disk is away."""

        build = services.images.build

        async def follow_log(self, *_):
            """Yield nothing, and fail."""
            raise UnavailableError("The disk is away.")
            yield

    app = make_api(replace(services, images=Images()), Settings(data_dir=tmp_path))
    async with calling(app, admin.token) as caller:
        answer = await caller("GET", f"builds/{build.id}/log", headers=STREAM)
        assert answer.status == 200
        assert "event: end" not in answer.text
        assert app.state.streams.open == 0


async def test_a_secret_is_put_by_post_too(admin):
    """201, once for its key, and never its value."""
    body, headers = {"name": "KEY", "value": "s3cr3t-value"}, {"Idempotency-Key": "s-1"}
    first = await admin("POST", "secrets", json=body, headers=headers)
    again = await admin("POST", "secrets", json=body, headers=headers)

    assert (first.status, first.json) == (201, again.json)
    assert "s3cr3t" not in first.text
    assert (await admin("DELETE", "secrets/KEY")).status == 204
