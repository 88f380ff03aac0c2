"""Health, readiness, figures, doctor."""

from dataclasses import replace

from skep import __version__
from skep.edge.api.app import make_api
from skep.kernel.errors import UnavailableError
from skep.kernel.settings import Settings
from skep.product.sandboxes.doctor import Doctor
from skep.product.sandboxes.service import SandboxService


async def test_health_speaks_both_dialects(nobody):
    """One object for those who look at `status` and those who look at `success`."""
    for path in ("/health", "/healthz"):
        body = (await nobody("GET", path)).json
        assert body == {"success": True, "message": "ok", "data": {"status": "ok"}, "status": "ok"}


async def test_the_root_shows_the_way(nobody):
    """Without a token, as a page for browsers, else as JSON; it tells no more than the paths that are open anyway."""
    answer = await nobody("GET", "/")
    page = await nobody("GET", "/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

    links = {"documentation": "/docs", "openapi": "/api/v1/openapi.json", "health": "/healthz"}
    assert answer.json == {"name": "skep", "links": links}
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script" not in page.text
    for path in links.values():
        assert f'href="{path}"' in page.text
        assert (await nobody("GET", path)).status == 200
    assert answer.headers["Vary"] == page.headers["Vary"] == "Accept"
    assert __version__ not in page.text + answer.text
    assert (await nobody("POST", "/")).status == 405


async def test_editors_get_the_schema_of_skep_yaml(nobody):
    """Without a token: it is the one of the documentation. There is no other."""
    answer = await nobody("GET", "schemas/skep-yaml.json")
    assert answer.headers["Content-Type"] == "application/schema+json"
    assert answer.json["properties"]["kind"]["enum"] == ["job"]
    assert (await nobody("GET", "schemas/other.json")).json["code"] == "schema_not_found"


async def test_readiness_follows_the_database(services, calling, driver, tmp_path):
    """When the database is away the server lives, and is not ready; strangers learn no more than that."""
    away = [UnavailableError("The database at 192.0.2.1 is away.")]

    async def check():
        if away:
            raise away[0]
        return "answers"

    doctor = Doctor(
        driver=driver,
        sandboxes=SandboxService(services.db, None, driver, "nod"),
        state_dir=tmp_path,
        min_free_bytes=0,
        check_database=check,
    )
    app = make_api(replace(services, doctor=doctor), Settings(data_dir=tmp_path))
    async with calling(app) as caller:
        answer = await caller("GET", "/readyz")
        assert (answer.status, answer.json["status"]) == (503, "unavailable")
        assert answer.json["checks"]["database"] == "unavailable"
        assert "192.0.2.1" not in answer.text
        assert (await caller("GET", "/healthz")).status == 200
        away.clear()
        assert (await caller("GET", "/readyz")).json == {"status": "ok", "checks": {"database": "ok"}}


async def test_the_doctor_says_what_it_sees(admin):
    """Findings with a level and a hint; a repair says what it removed."""
    report = (await admin("GET", "doctor")).json
    assert report["ok"] is True
    assert {"database", "isolation", "disk"} <= {finding["area"] for finding in report["findings"]}

    repaired = (await admin("POST", "doctor/repair")).json
    assert repaired["repaired"] == []


async def test_figures_count_routes_and_never_paths(admin, services, calling, tmp_path):
    """What a caller writes into a path is no label; given figures are shown as they are now."""

    async def figures():
        return {"skep_work_items": {"queued": 3}}

    app = make_api(replace(services, figures=figures), Settings(data_dir=tmp_path))
    async with calling(app, admin.token) as caller:
        await caller("GET", "runs/some-run-id")
        await caller("GET", "/nowhere/at/all")
        text = (await caller("GET", "/metrics")).text

    assert 'skep_http_requests_total{method="GET",route="/api/v1/runs/{run}",status="404"} 1.0' in text
    assert 'route="unmatched"' in text
    assert 'skep_work_items{state="queued"} 3.0' in text
    assert "some-run-id" not in text
    assert "nowhere" not in text


async def test_figures_need_a_token_of_the_installation(nobody, admin, caller_with):
    """A project's token does not see what all projects do, not even its admin's; a token for metrics sees only that."""
    assert (await nobody("GET", "/metrics")).status == 401
    for scope, code in (("read", "scope_missing"), ("operate", "scope_missing"), ("admin", "project_forbidden")):
        answer = await (await caller_with(scope))("GET", "/metrics")
        assert (answer.status, answer.json["code"]) == (403, code), scope
    assert (await admin("GET", "/metrics")).status == 200

    scraper = await caller_with("metrics")
    assert (await scraper("GET", "/metrics")).status == 200
    for path in ("version", "runs", "usage", "projects", "tokens"):
        for project in ("default", "no-such-project"):  # nor does it learn which projects there are
            answer = await scraper("GET", path, headers={"X-Skep-Project": project})
            assert (answer.status, answer.json["code"]) == (403, "scope_missing"), (path, project)


async def test_a_token_for_metrics_comes_from_the_installations_admin(admin, caller_with):
    """It belongs to no project and holds nothing else; a project's admin cannot make one."""
    made = await admin("POST", "tokens", json={"name": "prometheus", "scopes": ["metrics"]})
    assert (made.status, made.json["project_id"]) == (201, None)
    mixed = await admin("POST", "tokens", json={"name": "x", "scopes": ["metrics", "read"]})
    assert (mixed.status, list(mixed.json["fields"])) == (422, ["scopes"])
    theirs = await caller_with("admin")
    refused = await theirs("POST", "tokens", json={"name": "x", "scopes": ["metrics"]})
    assert (refused.status, refused.json["code"]) == (403, "project_forbidden")


async def test_a_token_shows_its_last_use(admin, caller_with):
    """Never, until it is used."""
    caller = await caller_with("read")

    async def last_used():
        return {item["name"]: item["last_used_at"] for item in (await admin("GET", "tokens")).json["items"]}

    assert (await last_used())["read"] is None
    await caller("GET", "version")
    assert (await last_used())["read"] is not None


class Away:
    """A database that does not answer."""

    def __init__(self, real):
        self.authenticate = real.authenticate

    async def projects(self, *_):
        """Fail as the database does when it is away."""
        raise UnavailableError("The database does not answer.", hint="Try again.", retry_after_s=7)


async def test_what_is_away_is_said_to_be_with_when_to_come_again(services, calling, tmp_path):
    """503 and Retry-After."""
    token = await services.access.first_token(lambda _: None)
    app = make_api(replace(services, access=Away(services.access)), Settings(data_dir=tmp_path))
    async with calling(app, token.reveal()) as caller:
        answer = await caller("GET", "projects")

    assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (503, "unavailable", "7")


async def test_the_access_log_has_the_facts_and_no_token(admin, caplog):
    """Method, path, status, time and the token's id; never its text."""
    caplog.set_level("INFO", logger="skep.access")
    await admin("GET", "projects?q=secret-search")

    record = next(record for record in caplog.records if record.name == "skep.access")
    assert (record.method, record.path, record.status) == ("GET", "/api/v1/projects", 200)
    assert record.principal.startswith("tok_")
    assert admin.token not in caplog.text
    assert "secret-search" not in caplog.text
