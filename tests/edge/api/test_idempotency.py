"""A creating request with an Idempotency-Key does what it does once, whatever is sent how often."""

import asyncio

import pytest

from skep.adapters.storage.database import SqlDatabase
from skep.edge.api.app import make_api
from skep.kernel.paging import PageQuery
from skep.kernel.settings import Settings

KEY = {"Idempotency-Key": "k-1"}


@pytest.fixture(params=["sqlite", "postgresql"])
async def db(request):
    """A fresh database of each kind: who is first is decided by it."""
    place = request.getfixturevalue("sqlite_path" if request.param == "sqlite" else "pg_url")
    async with SqlDatabase.open(place) as database:
        yield database


async def names(admin, what="projects"):
    """List what there is."""
    return [item["name"] for item in (await admin("GET", what)).json["items"]]


async def test_the_same_request_gets_the_same_answer(admin):
    """Status and body are those of the first time, and the header says that nothing was done."""
    first = await admin("POST", "projects", json={"name": "one"}, headers=KEY)
    again = await admin("POST", "projects", json={"name": "one"}, headers=KEY)

    assert (first.status, again.status) == (201, 201)
    assert again.text == first.text
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await names(admin) == ["default", "one"]


async def test_another_body_under_the_same_key_is_refused(admin):
    """The key belongs to what was asked first."""
    await admin("POST", "projects", json={"name": "one"}, headers=KEY)
    other = await admin("POST", "projects", json={"name": "two"}, headers=KEY)

    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")
    assert await names(admin) == ["default", "one"]


async def test_a_key_is_its_tokens_paths_and_projects_own(admin, caller_with):
    """The same word is another key for another token, path or project."""
    other = await caller_with("admin")
    await admin("POST", "projects", json={"name": "one"}, headers=KEY)
    secret = {"name": "S", "value": "a-value"}

    for answer in (
        await admin("POST", "secrets", json=secret, headers=KEY),
        await admin("POST", "secrets", json=secret, headers={**KEY, "X-Skep-Project": "one"}),
        await other("POST", "secrets", json=secret, headers=KEY),
    ):
        assert answer.status == 201
        assert "Idempotent-Replayed" not in answer.headers


async def test_what_failed_is_not_kept(admin):
    """A refused request did nothing, so its key is free for the corrected one."""
    assert (await admin("POST", "projects", json={"name": "BAD"}, headers=KEY)).status == 422
    assert (await admin("POST", "projects", json={"name": "default"}, headers=KEY)).status == 409
    assert (await admin("POST", "projects", json={"name": "good"}, headers=KEY)).status == 201


async def test_duplicates_at_the_same_time_make_one_thing(admin):
    """One does it; the others are told to wait, or get its answer."""
    answers = await asyncio.gather(
        *(admin("POST", "tokens", json={"name": "ci", "scopes": ["read"]}, headers=KEY) for _ in range(20))
    )

    assert {a.status for a in answers} <= {201, 409}
    assert len({a.json["id"] for a in answers if a.status == 201}) == 1
    assert all(a.json["code"] == "idempotency_in_flight" for a in answers if a.status == 409)
    assert all(int(a.headers["Retry-After"]) >= 1 for a in answers if a.status == 409)
    assert await names(admin, "tokens") == ["first", "ci"]


async def test_an_answer_with_a_token_is_kept_sealed(admin, db, services):
    """The replay has the token; the database does not."""
    body = {"name": "ci", "scopes": ["read"]}
    first = await admin("POST", "tokens", json=body, headers=KEY)
    again = await admin("POST", "tokens", json=body, headers=KEY)
    principal = await services.access.authenticate(admin.token)
    path = f"/api/v1/tokens@{principal.project_id}"

    kept = await db.read(lambda tx: services.answers.get(tx, principal.token_id, path, "k-1"))

    assert again.json["token"] == first.json["token"]
    assert first.json["token"] not in repr(kept)
    assert first.json["id"] not in kept.body


async def test_two_servers_do_it_once(admin, services, calling, tmp_path):
    """What one process cannot see in another's memory, the database decides."""
    other = make_api(services, Settings(data_dir=tmp_path))
    async with calling(other, admin.token) as second:
        body = {"name": "ci", "scopes": ["read"]}
        answers = await asyncio.gather(
            *(caller("POST", "tokens", json=body, headers=KEY) for caller in (admin, second) for _ in range(5))
        )

    assert {a.status for a in answers} <= {201, 409}
    assert len({a.json["id"] for a in answers if a.status == 201}) == 1
    assert await names(admin, "tokens") == ["first", "ci"]


async def test_the_answer_is_kept_with_the_effect_or_not_at_all(admin, services, db):
    """An effect that is rolled back leaves no answer behind."""
    principal = await services.access.authenticate(admin.token)

    def fails(_tx, _made):
        raise RuntimeError("the commit did not happen")

    with pytest.raises(RuntimeError):
        await services.access.create_project(principal, "never", also=fails)
    assert (await services.access.projects(principal, PageQuery())).items[-1].name == "default"
    assert (await admin("POST", "projects", json={"name": "never"}, headers=KEY)).status == 201


@pytest.mark.parametrize("key", ["x" * 256, "a b", "é"])
async def test_what_is_no_key_is_refused(admin, key):
    """A key is short and visible."""
    answer = await admin("POST", "projects", json={"name": "one"}, headers={"Idempotency-Key": key})

    assert answer.status == 422
    assert "Idempotency-Key" in answer.json["fields"]
