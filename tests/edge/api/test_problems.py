"""Every error is a problem that says what to do, and none says too much."""

import asyncio
import json
import re
from dataclasses import replace

import pytest

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores.access import SqlAccessStore, SqlAuditStore
from skep.edge.api.app import bare_api, make_api
from skep.edge.wire.texts import WORDS
from skep.kernel.ids import IdSource
from skep.kernel.settings import Settings
from skep.product.access.service import AccessService

WRONG_BODIES = [
    (b"{", "invalid_json"),
    (b"\xff", "invalid_json"),
    (b'{"name": "a", "x": NaN}', "invalid_json"),
    (b'{"name": 1e999}', "invalid_json"),
    (b'{"name": "\\ud800"}', "invalid_json"),
    (b'{"name": ' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_json"),
    (b'{"name": ' + b"9" * 10_000 + b"}", "invalid_json"),
    (b"[]", "invalid"),
    (b"null", "invalid"),
    (b"", "invalid"),
]


def assert_problem(answer, status, code):
    """Check the shape that all problems have."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json
    assert body["status"] == body["status_code"] == status
    assert body["code"] == code
    assert body["detail"] == body["error"] != ""
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert body["title"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/nothing", "/api/v1/agents/", "/api/v2/agents", "/docs/"])
async def test_an_unknown_route_is_a_problem(admin, path):
    """Also with a slash too many; nothing is redirected."""
    answer = await admin("GET", path)

    assert_problem(answer, 404, "no_such_route")
    assert answer.json["instance"] == path


async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(admin):
    """The header Allow is kept."""
    answer = await admin("DELETE", "projects")

    assert_problem(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(("body", "code"), WRONG_BODIES)
async def test_a_body_that_is_not_understood_is_a_problem(admin, body, code):
    """What Python's own parser would let through is refused too."""
    answer = await admin("POST", "projects", data=body, headers={"Content-Type": "application/json"})

    assert_problem(answer, 422, code)


async def test_each_wrong_member_is_named(admin):
    """`fields` maps the path of each wrong member to what is the matter with it."""
    body = {
        "name": "UPPER",
        "sourc": {},
        "source": {"git": {"url": "x y"}},
        "env": {"1X": "v"},
        "resources": {"cpus": 0},
        "egress": ["ok.example", "no way"],
    }
    answer = await admin("POST", "agents", json=body)

    assert_problem(answer, 422, "invalid")
    fields = answer.json["fields"]
    assert fields["sourc"] == "there is no such member"
    assert {"name", "source.git.url", "resources.cpus", "egress.1"} <= set(fields)
    assert fields["name"].startswith("a name is made of lower-case letters")
    assert fields["env.1X"].startswith("a variable's name")
    assert fields["egress.1"].startswith("write a host")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("agents", {"name": "Zoo Name", "source": {"image": "x"}}),
        ("agents", {"source": {"image": "x"}, "env": {"1A": "x"}}),
        ("agents", {"source": {"image": "x"}, "secrets": ["a b"]}),
        ("agents", {"source": {"image": "x"}, "env_from_secret": {"A": "a b"}}),
        ("agents", {"source": {"image": "x"}, "egress": ["no way"]}),
        ("projects", {"name": "Zoo Name"}),
        ("secrets", {"name": "a b", "value": "x"}),
        ("tokens", {"name": "a\nb", "scopes": ["read"]}),
        ("runs", {"agent_id": "a b"}),
    ],
)
async def test_a_wrong_name_is_told_what_it_may_hold(admin, path, body):
    """In words; no regular expression is shown to anybody."""
    answer = await admin("POST", path, json=body)

    assert_problem(answer, 422, "invalid")
    [(place, words)] = answer.json["fields"].items()
    assert "[" not in place
    assert "pattern" not in words
    assert "^" not in words
    assert any(word in words for word in ("such as", "one line"))


def test_every_pattern_has_words():
    """Whatever the description of the API shows as a pattern can be said in words."""
    shown = re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(bare_api().openapi()))

    assert len(shown) > 10
    assert {json.loads(pattern) for pattern in shown} <= set(WORDS)


async def test_a_secret_value_is_not_repeated_in_a_problem(admin):
    """What was wrong is said without saying it."""
    value = "s3cr3t-value" * 10_000
    answer = await admin("POST", "secrets", json={"name": "A-B", "value": value})

    assert_problem(answer, 422, "invalid")
    assert "s3cr3t" not in answer.text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("s3cr3t" * 45_000, "a secret is limited to 65536 bytes (64 KiB) as UTF-8, and this has 270000"),
        ("\N{EURO SIGN}" * 30_000, "a secret is limited to 65536 bytes (64 KiB) as UTF-8, and this has 90000"),
        ("", "is empty"),
    ],
)
async def test_the_size_of_a_secret_is_told_in_bytes(admin, value, words):
    """Both ways to put one count alike."""
    for method, path, name in (("POST", "secrets", {"name": "A"}), ("PUT", "secrets/A", {})):
        answer = await admin(method, path, json={**name, "value": value})
        assert_problem(answer, 422, "invalid")
        assert answer.json["fields"] == {"value": words}


async def test_what_is_no_text_is_told_to_be_encoded(admin):
    """Half a surrogate pair, which is how some clients write bytes that are no UTF-8, is explained."""
    for body in (b'{"name": "A", "value": "\\udcff\\udcfe"}', b'{"name": "A", "value": "\xff\xfe"}'):
        answer = await admin("POST", "secrets", data=body, headers={"Content-Type": "application/json"})
        assert_problem(answer, 422, "invalid_json")
        assert "no UTF-8" in answer.json["detail"]
        assert "base64" in answer.json["detail"]
        assert "surrogate" not in answer.json["detail"]


async def test_a_form_is_told_to_be_json(admin):
    """What curl sends by itself is not taken for JSON."""
    answer = await admin("POST", "projects", data={"name": "x"})

    assert_problem(answer, 415, "content_type")
    assert "application/json" in answer.json["hint"]


async def test_a_body_without_a_content_type_is_json(admin):
    """Saying nothing is no mistake."""
    answer = await admin("POST", "projects", data=b'{"name": "quiet"}', skip_auto_headers=["Content-Type"])

    assert answer.status == 201


async def test_an_unknown_argument_is_named(admin):
    """A filter with a typing mistake does not list everything."""
    answer = await admin("GET", "projects?limt=1")

    assert_problem(answer, 422, "invalid")
    assert "limit" in answer.json["fields"]["limt"]


@pytest.mark.parametrize(
    "arguments",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "cursor=%00",
        "cursor='%3B drop",
        "since=yesterday",
        "until=99999999999999999999",
        "q=%00",
        "q=" + "x" * 201,
    ],
)
async def test_wrong_arguments_of_a_listing_are_problems(admin, arguments):
    """Every argument is bounded."""
    assert_problem(await admin("GET", f"projects?{arguments}"), 422, "invalid")


async def test_a_body_that_says_it_is_too_large_is_refused_unread(nobody):
    """The length is believed before anything is read, also from nobody."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(nobody.url.rpartition(":")[2]))
    writer.write(b"POST /api/v1/projects HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")

    status = await reader.readline()

    assert b" 413 " in status
    writer.close()


@pytest.mark.parametrize("path", ["projects", "agents", "runs"])
async def test_a_body_without_a_length_is_limited_too(admin, path):
    """Bytes are counted as they come."""

    async def endless():
        for _ in range(5 * 16):
            yield b" " * 65_536

    answer = await admin("POST", path, data=endless(), headers={"Content-Type": "application/json"})

    assert_problem(answer, 413, "too_large")


async def test_who_has_no_token_is_refused_before_the_body_is_looked_at(nobody):
    """A stranger learns nothing about bodies."""
    answer = await nobody("POST", "projects", data=b"{", headers={"Content-Type": "application/json"})

    assert_problem(answer, 401, "token_missing")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


class Broken:
    """An access service with a defect in it."""

    def __init__(self, real):
        self.authenticate = real.authenticate

    async def projects(self, *_):
        """Fail."""
        raise RuntimeError("the inner reason")


async def test_what_nobody_expected_is_told_to_the_log_only(services, calling, tmp_path, caplog):
    """A defect is a 500 with a request id; the log has the trace under it."""
    token = await services.access.first_token(lambda _: None)
    app = make_api(replace(services, access=Broken(services.access)), Settings(data_dir=tmp_path))
    async with calling(app, token.reveal()) as caller:
        answer = await caller("GET", "projects", headers={"X-Request-Id": "my-request.1"})

    assert_problem(answer, 500, "internal")
    assert answer.json["request_id"] == "my-request.1"
    assert "inner reason" not in answer.text
    assert any("the inner reason" in str(record.exc_info) for record in caplog.records)


async def test_the_request_id_of_the_caller_is_kept_if_it_is_harmless(nobody):
    """Another one is replaced: it will stand in headers and logs."""
    kept = await nobody("GET", "/healthz", headers={"X-Request-Id": "abc-1.2_3"})
    replaced = await nobody("GET", "/healthz", headers={"X-Request-Id": 'x" onload="'})
    long = await nobody("GET", "/healthz", headers={"X-Request-Id": "x" * 65})

    assert kept.headers["X-Request-Id"] == "abc-1.2_3"
    assert replaced.headers["X-Request-Id"].startswith("req-")
    assert long.headers["X-Request-Id"].startswith("req-")


async def test_every_answer_has_safe_headers(nobody, admin):
    """Nothing is sniffed, framed, cached or shared with other origins."""
    for answer in (
        await nobody("GET", "/nothing", headers={"Origin": "https://evil.example"}),
        await admin("GET", "projects", headers={"Origin": "https://evil.example"}),
        await nobody("OPTIONS", "projects", headers={"Origin": "https://evil.example"}),
        await nobody("GET", "/docs"),
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_a_problem_is_one_json_object(admin):
    """Text from the caller cannot break out of it."""
    answer = await admin("GET", '/x"%0d%0aSet-Cookie:a=b')

    assert_problem(answer, 404, "no_such_route")
    assert "Set-Cookie" not in answer.headers
    assert json.loads(answer.text)["instance"]


@pytest.mark.parametrize(
    "path", ["agents/%00", "runs/run_%00", "builds/a%00b/log", "runs/x/artifacts/a%00/b", "secrets/%00"]
)
async def test_a_path_with_nul_leads_nowhere(admin, path):
    """It is refused in our words before a database is asked, which has words of its own for it."""
    answer = await admin("DELETE" if path.startswith("secrets") else "GET", path)

    assert_problem(answer, 404, "not_found")
    assert "NUL" in answer.json["detail"]


@pytest.mark.parametrize("arguments", ["q=a%00", "agent_id=%00", "status=%00", "cursor=%00"])
async def test_an_argument_with_nul_is_named(admin, arguments):
    """No text of ours can hold it."""
    answer = await admin("GET", f"runs?{arguments}")

    assert_problem(answer, 422, "invalid")
    assert answer.json["fields"] == {arguments.partition("=")[0]: "the character NUL cannot be in it"}


async def test_a_database_that_is_away_tells_callers_no_address(calling, services, tmp_path, caplog):
    """Where it was looked for is told to the log alone, whoever asks."""
    place = tmp_path / "elsewhere"
    async with SqlDatabase.open(f"postgresql://someone@/skep?host={place}") as away:
        access = AccessService(away, SqlAccessStore(), SqlAuditStore("postgresql"), services.clock, IdSource())
        app = make_api(replace(services, access=access), Settings(data_dir=tmp_path))
        async with calling(app, f"skep_{'a' * 43}") as caller:
            answer = await caller("GET", "projects")

    assert_problem(answer, 503, "database_unavailable")
    assert str(place) not in answer.text
    assert any(str(place) in str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize("made", ["nope", "{}_nope", "{}_00000000000000000000000000", "x" * 300])
async def test_what_is_not_there_is_named(admin, made):
    """An id that never was, well-formed or not, has the answer of its noun, which is not too long."""
    for path, what, prefix in (
        ("builds/{}", "build", "bld"),
        ("builds/{}/log", "build", "bld"),
        ("runs/{}", "run", "run"),
        ("runs/{}/log", "run", "run"),
        ("runs/{}/events", "run", "run"),
        ("runs/{}/artifacts/a", "run", "run"),
        ("agents/{}", "agent", "agt"),
    ):
        answer = await admin("GET", path.format(made.format(prefix)))

        assert_problem(answer, 404, f"{what}_not_found")
        assert answer.json["detail"].startswith(f"There is no {what} ")
        assert answer.json["hint"]
        assert len(answer.json["detail"]) < 150
