"""Listings come in pages that neither repeat nor leave out."""

from skep.kernel.ids import is_id


async def test_pages_join_to_the_whole(admin):
    """Following `next` gives everything once, in order."""
    for number in range(7):
        await admin("POST", "projects", json={"name": f"p-{number}"})
    seen, cursor = [], None
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        page = (await admin("GET", f"projects?limit=3{more}")).json
        assert len(page["items"]) <= 3
        seen += [item["name"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert seen == ["default", *(f"p-{number}" for number in range(7))]


async def test_a_search_finds_by_name(admin):
    """`q` is text, not a pattern."""
    for name in ("red-bee", "blue-bee", "wasp"):
        await admin("POST", "projects", json={"name": name})

    async def found(text):
        return [item["name"] for item in (await admin("GET", "projects", params={"q": text})).json["items"]]

    assert await found("bee") == ["red-bee", "blue-bee"]
    assert await found("%") == []
    assert await found("' or 1=1 --") == []


async def test_times_bound_a_listing(admin, clock):
    """`since` and `until` take RFC 3339 times; what has no offset is UTC."""
    await admin("POST", "projects", json={"name": "early"})
    clock.advance(3600)
    await admin("POST", "projects", json={"name": "late"})

    async def found(**bounds):
        return [item["name"] for item in (await admin("GET", "projects", params=bounds)).json["items"]]

    assert await found(since="2026-01-01T00:30:00Z") == ["late"]
    assert await found(until="2026-01-01T00:30:00") == ["default", "early"]
    assert await found(since="2026-01-01T01:30:00+01:00", until="2026-01-01T02:00:00+00:00") == ["late"]


async def test_an_unknown_status_is_refused_with_the_known_ones(admin):
    """A misspelt status does not give an empty listing."""
    answer = await admin("GET", "runs?status=runing")

    assert answer.status == 422
    assert "running" in answer.json["fields"]["status"]
    assert (await admin("GET", "runs?status=running,queued&status=failed")).json == {"items": [], "next": None}


async def test_the_audit_log_shows_what_was_done(admin):
    """Newest first, with the address; the installation's admin sees every project, or the one it names."""
    made = (await admin("POST", "projects", json={"name": "one"})).json
    await admin("PUT", "secrets/K", json={"value": "a-value"}, headers={"X-Skep-Project": "one"})

    entries = (await admin("GET", "audit")).json["items"]
    assert [entry["action"] for entry in entries[:2]] == ["secret.put", "project.create"]
    assert entries[0]["address"] == "127.0.0.1"
    assert is_id(entries[0]["id"])
    only = (await admin("GET", "audit?project=default")).json["items"]
    assert made["id"] not in {entry["project_id"] for entry in only}
