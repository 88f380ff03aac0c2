"""SIGKILL at any moment: nothing accepted is lost, nothing is done twice, nothing is left over.

Killed are the server, the keeper, both; and PostgreSQL, where the state is there.
"""

import hashlib
import json
import os
import random
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
from counting import PACKAGES, counting_agent, expected_stdout, inputs_of
from observer import PHASES, Observer

from skep.testing.installation import Installation, installation
from skep.testing.postgres import Databases, PostgresServer
from skep.testing.wait import until_sync

pytestmark = [pytest.mark.root, pytest.mark.alone]

FINAL = ("succeeded", "failed", "cancelled", "timed_out", "lost")
VICTIMS = (("server",), ("server",), ("keeper",), ("server", "keeper"))
MOST_ATTEMPTS = 10


class Caller:
    """Sends requests until they are answered: with an Idempotency-Key, over any number of server's lives."""

    def __init__(self, skep: Installation) -> None:
        self._skep = skep

    def post(self, path: str, body: object, key: str) -> Any:
        """Send a creating request until it is accepted; the key makes repeats harmless."""
        deadline = time.monotonic() + 120
        while True:
            try:
                return self._skep.call("POST", path, body, headers={"Idempotency-Key": key})
            except urllib.error.HTTPError as error:
                if error.code not in (409, 503) or time.monotonic() > deadline:
                    raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from error
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def get(self, path: str) -> Any:
        """Ask until there is an answer."""
        result: list[Any] = []

        def asked() -> bool:
            try:
                result.append(self._skep.call("GET", path))
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from error
                return False
            except OSError:
                return False
            return True

        until_sync(asked, timeout_s=60, what=f"an answer to GET {path}")
        return result[0]


class Load:
    """Starts runs and builds without end until it is told to stop, and remembers what was accepted."""

    def __init__(self, caller: Caller, seed: int) -> None:
        self._caller = caller
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        #: Idempotency-Key -> (run's id, its inputs).
        self.runs: dict[str, tuple[str, dict[str, object]]] = {}
        self.builds: list[str] = []
        self._threads = [threading.Thread(target=self._guarded, args=(each,)) for each in (self._run, self._build)]

    def __enter__(self) -> Self:
        agent = self._caller.post("/api/v1/agents", counting_agent("counter"), "agent-counter")
        build = self._caller.post(f"/api/v1/agents/{agent['id']}/build", None, "build-counter")
        self.builds.append(build["id"])
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  it is raised again in the test's own thread
            self._failures.append(error)

    def _run(self) -> None:
        while not self._stop.is_set():
            key = f"run-{len(self.runs)}"
            inputs = inputs_of(key, self._chance)
            run = self._caller.post("/api/v1/runs", {"agent_id": "counter", "inputs": inputs}, key)
            self.runs[key] = (run["id"], inputs)
            unfinished = sum(r["status"] not in FINAL for r in self._caller.get("/api/v1/runs?limit=50")["items"])
            self._stop.wait(0.05 if unfinished < 4 else 1.0)

    def _build(self) -> None:
        while not self._stop.is_set():
            name = f"built-{len(self.builds)}"
            chosen = tuple(self._chance.sample(PACKAGES, 4))
            agent = self._caller.post("/api/v1/agents", counting_agent(name, chosen), name)
            build = self._caller.post(f"/api/v1/agents/{agent['id']}/build", None, f"build-{name}")
            self.builds.append(build["id"])
            until_sync(partial(self._over, build["id"]), timeout_s=180, what="a build to end")

    def _over(self, build_id: str) -> bool:
        return self._stop.is_set() or self._caller.get(f"/api/v1/builds/{build_id}")["status"] in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is killed, and the one who looks at it from outside."""

    skep: Installation
    observer: Observer
    postgres: PostgresServer | None

    def kill(self, victim: str) -> None:
        """End a process as a crash would; whoever watches it starts it again."""
        if victim == "database":
            assert self.postgres is not None, "the state is in a PostgreSQL of the test's own"
            self.postgres.stop()
            self.postgres.start()
        else:
            self.skep.kill(victim)


@contextmanager
def _target(database: str) -> Generator[Target]:
    """Start an installation on SQLite, or on a PostgreSQL of its own."""
    environment = {"SKEP_MAX_BUILDS": "2", "SKEP_BUILD_TIMEOUT_S": "120"}
    if database == "sqlite":
        with installation(**environment) as skep:
            observer = Observer(skep.settings.data_dir, skep.settings.instance_run_dir)
            yield Target(skep=skep, observer=observer, postgres=None)
        return
    with PostgresServer(for_all=True) as server:
        databases = Databases(server.url)
        with databases.empty() as url, installation(SKEP_DATABASE_URL=url, **environment) as skep:
            observer = Observer(skep.settings.data_dir, skep.settings.instance_run_dir, url)
            yield Target(skep=skep, observer=observer, postgres=server)


def _strike(target: Target, hits: Counter[str], wanted: int, chance: random.Random) -> str:
    """Wait for a moment that was hit too seldom, kill, and say what was in flight."""
    skep, observer = target.skep, target.observer
    began = time.monotonic()
    until_sync(lambda: skep.pid("server") and skep.pid("keeper"), timeout_s=30, what="both processes to live")
    if chance.random() < 0.7:
        skep.wait_ready()
    ready_s = time.monotonic() - began
    if chance.random() < 0.3:
        _let_live(observer, patience_s=6)
    seldom = [phase for phase in PHASES if hits[phase] == min(hits[p] for p in PHASES) or hits[phase] < wanted]
    patience = time.monotonic() + 3
    while time.monotonic() < patience and not any(observer.snapshot().counts[phase] for phase in seldom):
        pass
    victims = chance.choice(VICTIMS if target.postgres is None else (*VICTIMS, ("database",)))
    seen = observer.snapshot() if "database" in victims else None
    for victim in victims:
        target.kill(victim)
    seen = seen or observer.snapshot()
    for phase in PHASES:
        hits[phase] += bool(seen.counts[phase])
    waited_s = time.monotonic() - began
    return f"{waited_s:4.1f} s (ready after {ready_s:3.1f}) killed {' and '.join(victims)}: {seen}"


def _let_live(observer: Observer, patience_s: float) -> None:
    """Wait until some work is done, so that lives differ in length."""
    done = "select count(*) as n from work where state = 'done'"
    before = observer.rows(done)[0]["n"]
    patience = time.monotonic() + patience_s
    while time.monotonic() < patience and observer.rows(done)[0]["n"] == before:
        pass


def _check_runs(caller: Caller, observer: Observer, load: Load) -> None:
    listed: list[Any] = []
    cursor = ""
    while True:
        page = caller.get(f"/api/v1/runs?limit=500{cursor}")
        listed += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert Counter(run["id"] for run in listed) == Counter(run_id for run_id, _ in load.runs.values())
    by_id = {run["id"]: run for run in listed}
    attempts = observer.rows("select id, run_id, number, phase, log_id, started_ms from attempts order by number")
    for key, (run_id, inputs) in load.runs.items():
        run = by_id[run_id]
        mine = [row for row in attempts if row["run_id"] == run_id]
        assert run["status"] == "succeeded", (run, [dict(row) for row in mine])
        assert run["result"] == {"key": key, "lines": inputs["lines"]}
        assert all(row["phase"] == "ended" for row in mine)
        assert [row["number"] for row in mine] == list(range(1, len(mine) + 1))
        # A run that succeeded was executed by its last attempt only, once, and all of its output is there.
        assert sum(observer.stdout(row["log_id"]).count("execution ") for row in mine) == 1
        assert observer.stdout(mine[-1]["log_id"]) == expected_stdout(inputs, mine[-1]["number"])
        artifacts = caller.get(f"/api/v1/runs/{run_id}/artifacts")["items"]
        proof = hashlib.sha256(f"{key}\n".encode() * 1000).hexdigest()
        assert [(a["path"], a["sha256"]) for a in artifacts] == [("proof.txt", proof)]


def _check_builds(caller: Caller, load: Load) -> None:
    """A build may be given up, with the reason, when it was hit as often as one that brings the server down may be."""
    for build_id in load.builds:
        build = caller.get(f"/api/v1/builds/{build_id}")
        if build["attempt"] < MOST_ATTEMPTS:
            assert build["status"] == "succeeded", (build["error"], build)
        else:
            assert build["status"] == "succeeded" or build["error"]["code"] == "build_lost", (build["error"], build)


def _kill_test(database: str, *, kills: int, wanted: int, least: int, seed: int) -> None:
    chance = random.Random(seed)
    with _target(database) as target:
        skep, observer = target.skep, target.observer
        caller = Caller(skep)
        hits: Counter[str] = Counter()
        done = 0
        with Load(caller, seed) as load:
            until_sync(lambda: load.runs, timeout_s=60, what="the first run")
            while done < kills or (any(hits[p] < wanted for p in PHASES) and done < 3 * kills):
                done += 1
                print(f"{done:3} {_strike(target, hits, wanted, chance)}", flush=True)
        accepted = len(load.runs) + len(load.builds)
        print(f"{done} kills, {len(load.runs)} runs, {len(load.builds)} builds; hits: {dict(hits)}", flush=True)
        skep.wait_ready()
        unfinished = "select count(*) as n from work where state not in ('done', 'dead')"
        until_sync(lambda: observer.rows(unfinished)[0]["n"] == 0, timeout_s=180, what="all work to be done")

        _check_runs(caller, observer, load)
        _check_builds(caller, load)
        instance = skep.settings.instance
        until_sync(lambda: not observer.left_over(instance), timeout_s=60, what="the machine to be clean")
        repeats = observer.rows("select count(*) as n from attempts where number > 1")[0]["n"]
        print(f"all {accepted} final, {repeats} repeated attempts, nothing left over", flush=True)
        assert accepted >= least
        assert all(hits[phase] >= wanted for phase in PHASES), hits


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("database", "kills", "wanted", "least"),
    [
        pytest.param("sqlite", 60, 5, 30, id="sqlite"),
        pytest.param("postgresql", 20, 1, 10, id="postgresql"),
        pytest.param("postgresql", 60, 5, 30, id="postgresql, long", marks=pytest.mark.slow),
    ],
)
def test_kills_lose_nothing(
    database: str, kills: int, wanted: int, least: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kills in the midst of runs and builds: all end well, each output whole, the machine clean."""
    kills = int(os.environ.get("SKEP_TEST_KILLS", kills))  # noqa: TID251  more than the usual number, by hand
    seed = int(os.environ.get("SKEP_TEST_SEED", "2"))  # noqa: TID251
    with capsys.disabled():
        print()
        _kill_test(database, kills=kills, wanted=wanted, least=least, seed=seed)


def test_observer_sees_what_is_left(tmp_path: Path) -> None:
    """The checker can fail: a folder of a sandbox that nobody knows is named."""
    import sqlite3

    (tmp_path / "run" / "s" / "sbx_stray").mkdir(parents=True)
    (tmp_path / "data" / "state").mkdir(parents=True)
    with sqlite3.connect(tmp_path / "data" / "state" / "skep.db") as db:
        db.execute("create table sandboxes (id text)")
        db.execute("create table work (ref text, state text)")
    db.close()

    found = Observer(tmp_path / "data", tmp_path / "run").left_over("none")

    assert found == [f"folder {tmp_path}/run/s/sbx_stray"]
    assert json.dumps(found)
