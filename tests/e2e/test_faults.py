"""What happens to an installation when the machine, the disk or the database fails under it."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from acting import ACTING
from observer import Observer, control_groups, mounts
from user import FINAL, User

from skep.kernel.settings import Settings
from skep.testing.installation import installation
from skep.testing.postgres import PostgresServer, with_database
from skep.testing.wait import until_sync

pytestmark = pytest.mark.root


def user_of(skep):
    """Return the admin of an installation."""
    return User(url=skep.url, token=skep.token)


@contextmanager
def hand_in_the_way(skep, *processes):
    """Keep the launcher from starting *processes* again after they were killed, until the block is left."""
    launcher = skep.pid("launcher")
    os.kill(launcher, signal.SIGSTOP)
    try:
        for name in processes:
            skep.kill(name)
        yield
    finally:
        os.kill(launcher, signal.SIGCONT)


def inside(instance):
    """Return the processes of an installation's sandboxes."""
    return [pid for pid, group in control_groups() if f"/skep/{instance}/" in group]


# ---- the disk


@pytest.fixture
def small_disk(tmp_path):
    """An installation whose data folder lies on a small disk of its own."""
    tmp_path.chmod(0o755)
    place = tmp_path / "data"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=384m,mode=755", "tmpfs", str(place)], check=True)
    try:
        with installation(tmp_path, SKEP_MIN_FREE_DISK_MB="160") as made:
            yield made
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(place, leave):
    """Fill a disk with a file, but for so many bytes; return the file."""
    filler = place / "filler"
    with filler.open("ab") as file:
        free = shutil.disk_usage(place).free
        os.posix_fallocate(file.fileno(), filler.stat().st_size, max(1, free - leave))
    return filler


def test_a_full_disk_refuses_new_work_and_keeps_the_old(small_disk):
    """Little space: new work is refused in clear words. None at all: what runs goes on, and is kept when there is."""
    user = user_of(small_disk)
    user.agent("acting", ACTING)
    ticking = user.start("acting", {"do": "tick", "ticks": 30})
    user.until_printed(ticking, "tick 0")

    filler = fill(small_disk.settings.data_dir, leave=128 << 20)

    for path, body in (
        ("/runs", {"agent_id": "acting"}),
        ("/agents/acting/build", None),
        ("/uploads", b"nothing"),
    ):
        status, problem = user.refused("POST", path, body)
        assert (status, problem["code"]) == (503, "disk_full"), (path, problem)
        assert problem["hint"]
    assert user.get(f"/runs/{ticking}")["status"] == "running"

    fill(small_disk.settings.data_dir, leave=0)
    user.until_printed(ticking, "tick 0")
    assert user.ask("POST", "/runs", {"agent_id": "acting"}).status == 503
    until_sync(lambda: "disk_full" in small_disk.log_file.read_text(), timeout_s=30, what="the disk to be missed")

    filler.unlink()
    ended = user.ended(ticking)
    assert ended["status"] == "succeeded", ended
    assert ended["output"]["stdout"].splitlines() == [f"tick {number}" for number in range(30)] + ["end"]
    assert user.run("acting")["status"] == "succeeded"
    assert [run["status"] for run in user.get("/runs")["items"]] == ["succeeded", "succeeded"]


# ---- the database


def test_a_database_that_is_gone_for_a_while(tmp_path):
    """Without its database the server says 503; what runs goes on and is recorded when the database is back."""
    with PostgresServer(for_all=True) as server, installation(SKEP_DATABASE_URL=server.url) as skep:
        user = user_of(skep)
        user.agent("acting", ACTING)
        ticking = user.start("acting", {"do": "tick", "ticks": 5})
        waiting = user.start("acting", {"do": "wait"})
        user.until_printed(waiting, "waiting")
        process = skep.pid("server")

        server.stop()

        status, problem = user.refused("POST", "/runs", {"agent_id": "acting"}, Idempotency_Key="once")
        assert (status, problem["code"]) == (503, "database_unavailable")
        assert user.ask("GET", "/runs").status == 503
        until_sync(lambda: not skep.ready(), timeout_s=10, what="the server to miss its database")
        until_sync(lambda: len(inside(skep.settings.instance)) == 3, timeout_s=30, what="the first run's end")
        server.start()

        until_sync(skep.ready, timeout_s=30, what="the server to find its database again")
        again = user.post("/runs", {"agent_id": "acting"}, Idempotency_Key="once")
        ended = user.ended(ticking)
        assert (ended["status"], ended["attempts"]) == ("succeeded", 1)
        assert ended["output"]["stdout"].endswith("tick 4\nend\n")
        assert user.ended(again["id"])["status"] == "succeeded"
        assert user.get(f"/runs/{waiting}")["status"] == "running"
        user.post(f"/runs/{waiting}/cancel")
        assert user.ended(waiting)["status"] == "cancelled"
        assert len(user.get("/runs")["items"]) == 3
        assert skep.pid("server") == process


def test_a_database_that_comes_up_after_skep(tmp_path):
    """At a boot the database may be later than Skep: Skep waits and says so, and goes on by itself."""
    log = tmp_path / "skep.log"
    log.touch()
    # PostgreSQL dies with the thread that started it: the pool outlives the installation.
    with PostgresServer(for_all=True) as server, ThreadPoolExecutor(1) as pool:
        server.stop()

        def come() -> None:
            said = ("waiting for the database", "the database does not answer yet (SKEP_DATABASE_URL)")
            until_sync(lambda: all(words in log.read_text() for words in said), timeout_s=60, what="Skep to say so")
            server.start()

        coming = pool.submit(come)
        with installation(tmp_path, SKEP_DATABASE_URL=server.url) as skep:
            coming.result()
            user = user_of(skep)
            user.agent("acting", ACTING)
            assert user.run("acting")["status"] == "succeeded"

            process = skep.pid("server")
            server.stop()
            skep.kill("server")
            until_sync(lambda: skep.pid("server") not in (process, None), timeout_s=10, what="another server")
            until_sync(lambda: refuses(user), timeout_s=30, what="an answer without a database")
            pool.submit(server.start).result()

            skep.wait_ready()
            assert [run["status"] for run in user.get("/runs")["items"]] == ["succeeded"]
        server.stop()
    assert "the server ended (status 7" not in log.read_text()


def refuses(user):
    """Tell whether a server says that its database is away, and when to come again."""
    answer = user.ask("GET", "/runs")
    return (answer.status, answer.json["code"], "Retry-After" in answer.headers) == (503, "database_unavailable", True)


def test_a_database_that_will_never_answer_ends_the_start(tmp_path):
    """No such database, no such address: `skep up` ends at once, with what happened, the setting, what to do."""
    with PostgresServer(for_all=True) as server:
        for url, words in (
            (with_database(server.url, "nowhere"), 'database "nowhere" does not exist'),
            ("postgresql://skep:pa%zz@db.lan/skep", "is no address of a PostgreSQL database"),
        ):
            chosen = {"SKEP_DATA_DIR": str(tmp_path / "data"), "SKEP_DATABASE_URL": url}
            done = subprocess.run(
                [sys.executable, "-m", "skep.edge.cli.main", "up", "--detach", "--port", "0"],
                env={**os.environ, **chosen},  # noqa: TID251  a child process inherits the test's environment
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            said = " ".join(done.stderr.split())
            assert (done.returncode, words in said, "SKEP_DATABASE_URL" in said) == (7, True, True), done.stderr
            assert "status 78" in said
            assert "pa%zz" not in said


def test_a_detached_start_can_be_given_up_while_it_waits(tmp_path):
    """Until Skep is ready it belongs to who starts it: Ctrl-C during the wait leaves nothing behind."""
    tmp_path.chmod(0o755)
    settings = Settings(data_dir=tmp_path / "data")
    chosen = {"SKEP_DATA_DIR": str(settings.data_dir), "SKEP_DATABASE_URL": "postgresql://skep@127.0.0.1:1/skep"}
    with subprocess.Popen(
        [sys.executable, "-m", "skep.edge.cli.main", "up", "--detach", "--port", "0"],
        env={**os.environ, **chosen},  # noqa: TID251  a child process inherits the test's environment
        stderr=subprocess.PIPE,
        text=True,
    ) as starting:
        said = next(line for line in starting.stderr if "waiting for it" in line)
        places = [settings.instance_run_dir / f"{name}.pid" for name in ("launcher", "keeper", "server")]
        assert all(place.exists() for place in places)
        starting.send_signal(signal.SIGINT)
        starting.communicate(timeout=30)

    assert "skep.log says why" in said
    until_sync(lambda: not any(place.exists() for place in places), timeout_s=30, what="all three to end")


# ---- processes and machine


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder of an installation that is started several times."""
    return tmp_path_factory.mktemp("machine")


def test_the_time_limit_passes_while_the_server_is_down(place):
    """A run's time is up while no server lives: it ends all the same, and the next server says so."""
    with installation(place) as skep:
        user = user_of(skep)
        user.agent("acting", ACTING, max_attempts=1)
        user.agent("repeated", ACTING, max_attempts=2)
        run_id = user.start("acting", {"do": "ignore"}, timeout_s=1)
        user.until_printed(run_id, "waiting")

        with hand_in_the_way(skep, "server", "keeper"):
            until_sync(lambda: len(inside(skep.settings.instance)) == 1, timeout_s=30, what="the command's end")
        skep.wait_ready()

        ended = user.ended(run_id)
        assert (ended["status"], ended["attempts"]) == ("timed_out", 1)
        assert ended["output"]["stdout"] == "waiting\n"


def test_the_last_use_of_a_token_outlives_a_restart(tmp_path):
    """It is written when the server ends, however shortly before the token was used."""
    with installation(tmp_path) as skep:
        made = user_of(skep).post("/tokens", {"name": "used", "scopes": ["read"]})
        assert made["last_used_at"] is None
        User(url=skep.url, token=made["token"]).get("/runs")

    with installation(tmp_path) as skep:
        tokens = {token["name"]: token for token in user_of(skep).get("/tokens")["items"]}
        assert tokens["used"]["last_used_at"] >= made["created_at"]
        assert "used" in skep.cli("token", "list").stdout


def steps(skep):
    """Return what the server's log says, without the requests."""
    lines = [json.loads(line) for line in skep.log_file.read_text().splitlines() if line.startswith("{")]
    return [line["message"] for line in lines if line.get("logger", "").startswith("skep.assembly")]


def holder(skep):
    """Return who holds the only work that is not over."""
    with closing(sqlite3.connect(skep.settings.state_dir / "skep.db")) as database:
        [owner] = database.execute("select owner from work where state in ('leased', 'queued')").fetchone()
        return owner


def test_a_server_that_is_told_to_end_ends_in_order(tmp_path):
    """No requests, then no loops, then no database, with status 0; the next one holds its work at once."""
    with installation(tmp_path) as skep:
        user = user_of(skep)
        user.agent("acting", ACTING)
        run_id = user.start("acting", {"do": "tick", "ticks": 60})
        user.until_printed(run_id, "tick 0")
        first, owner = skep.pid("server"), holder(skep)
        os.kill(first, signal.SIGTERM)
        # Sooner than the lease could have run out.
        until_sync(lambda: holder(skep) not in ("", owner), timeout_s=9, what="the work to be taken up")
        skep.wait_ready()

        assert steps(skep)[:4] == [
            "told to end: no more requests are taken",
            "nothing is served any more: the loops end",
            "closing the database",
            "the server has ended",
        ]
        assert user.get(f"/runs/{run_id}")["status"] == "running"
        skep.cli("cancel", run_id)

    assert '"status": 0' in skep.log_file.read_text()
    assert steps(skep)[-1] == "the server has ended"


def reboot(skep):
    """Do to an installation what a reboot does: nothing of it lives, nothing in memory is left."""
    os.kill(skep.pid("launcher"), signal.SIGKILL)
    skep.launcher.wait(30)
    until_sync(lambda: not (skep.pid("server") or skep.pid("keeper")), timeout_s=10, what="both children to die")
    instance = skep.settings.instance
    while pids := inside(instance):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    run_dir = skep.settings.instance_run_dir
    for point in sorted((point for point in mounts() if point.startswith(f"{run_dir}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=True)
    shutil.rmtree(run_dir)
    for hierarchy in ("*/skep", "skep"):
        for group in Path("/sys/fs/cgroup").glob(f"{hierarchy}/{instance}"):
            for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            group.rmdir()
    # The kernel's own boot id cannot be changed: the one that was written down is.
    with closing(sqlite3.connect(skep.settings.state_dir / "skep.db")) as database, database:
        database.execute("update nodes set boot_id = 'of the life before'")


def test_a_reboot_loses_no_run_silently(place):
    """After a reboot each run is tried again if its agent allows, or lost with the reason; nothing is left over."""
    with installation(place) as skep:
        user = user_of(skep)
        lost = user.start("acting", {"do": "wait"})
        repeated = user.start("repeated", {"do": "tick", "ticks": 10})
        for run_id, text in ((lost, "waiting"), (repeated, "tick 2")):
            user.until_printed(run_id, text)
        reboot(skep)
        # Whoever has the port now must not get the token.
        assert "no server runs on this machine" in skep.cli("agents", check=False).stderr

    with installation(place) as skep:
        user = user_of(skep)
        observer = Observer(skep.settings.data_dir, skep.settings.instance_run_dir)
        ended = user.ended(lost)
        assert (ended["status"], ended["error"]["code"]) == ("lost", "lost")
        assert ended["output"]["stdout"] == "waiting\n"
        again = user.ended(repeated)
        assert (again["status"], again["attempts"]) == ("succeeded", 2)
        assert again["output"]["stdout"].splitlines() == [f"tick {number}" for number in range(10)] + ["end"]
        assert "the machine was restarted" in ended["error"]["message"]
        assert all(run["status"] in FINAL for run in user.get("/runs")["items"])
        until_sync(lambda: not observer.left_over(skep.settings.instance), timeout_s=60, what="the machine to be clean")
        assert user.get("/doctor")["ok"]
