"""What a server answers that waits for its database."""

from skep.edge.api.waiting import Waiting


async def test_it_lives_and_is_not_ready(calling):
    """Health is 200; readiness names the database; anything else is a problem that says when to come again."""
    async with calling(Waiting()) as caller:
        assert (await caller("GET", "/healthz")).json["status"] == "ok"
        ready = await caller("GET", "/readyz")
        assert (ready.status, ready.json["checks"]) == (503, {"database": "unavailable"})
        for method, path in (("POST", "runs"), ("GET", "/metrics"), ("DELETE", "agents/x")):
            answer = await caller(method, path)
            assert (answer.status, answer.json["code"]) == (503, "database_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
