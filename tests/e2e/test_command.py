"""The `skep` command, as somebody uses it who has read the README."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from acting import ACTING

from skep.testing.wait import until_sync

pytestmark = pytest.mark.root

HELLO = Path(__file__).parents[2] / "examples" / "hello"
KEEPING = """
import hashlib, os, time
from pathlib import Path

value = Path("/run/secrets/API_KEY").read_bytes()
print(hashlib.sha256(value).hexdigest(), os.environ.get("KEY", "unset")[:3], len(os.environ.get("KEY", "")), flush=True)
while not Path("/run/skep/artifacts/go").exists() and os.environ.get("STAY"):
    time.sleep(0.05)
"""
SECRET = "correct-horse-battery-staple"


@pytest.fixture(scope="session")
def hello(skep):
    """The example agent, deployed from its folder."""
    deployed = skep.cli("deploy", str(HELLO), "--name", "hello", "-e", "GREETING=hi", "-m", "256M", "--timeout", "60s")
    assert "Recognised: python (main.py, uv.lock)." in deployed.stderr
    assert "next: skep run hello" in deployed.stderr
    return "hello"


def started(skep, *arguments, **more):
    """Start the command and leave it running."""
    return subprocess.Popen(
        [sys.executable, "-m", "skep.edge.cli.main", *arguments],
        env={**skep.environment, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def parsed(skep, *arguments, code=0):
    """Run the command with --json and return what it printed."""
    done = skep.cli(*arguments, "--json", check=False)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_a_folder_is_deployed_and_run(skep, user, hello):
    """Deploy, run, look at everything that is kept: the way of the README."""
    ran = skep.cli("run", hello, "--input", "topic=bees")

    assert "Today's topic: bees." in ran.stdout
    assert "1st letter: b" in ran.stdout
    assert "This line goes to standard error." in ran.stderr
    assert 'result: {"topic": "bees", "letters": 4}' in ran.stderr
    assert "succeeded in" in ran.stderr
    run = parsed(skep, "runs", hello, "--limit", "1")[0]
    assert (run["status"], run["exit_code"], run["agent_name"]) == ("succeeded", 0, "hello")
    assert skep.cli("logs", hello).stdout == ran.stdout
    assert skep.cli("output", run["id"]).stdout == ran.stdout
    assert user.get(f"/runs/{run['id']}/artifacts")["items"][0]["path"] == "report.md"
    artifact = user.ask("GET", f"/runs/{run['id']}/artifacts/report.md")
    assert artifact.raw == b"# bees\n\nbees has four letters.\n"
    assert artifact.headers["Content-Disposition"].startswith("attachment")
    agent = user.get("/agents/hello")
    assert (agent["env"], agent["resources"]["memory_mb"], agent["resources"]["timeout_s"]) == (
        {"GREETING": "hi"},
        256,
        60,
    )


def test_artifacts_are_listed_and_fetched(skep, hello, tmp_path):
    """What a run left is listed, and fetched by name or as a whole; what is there is replaced only if that is said."""
    skep.cli("run", hello, "--input", "topic=bees")
    run = parsed(skep, "runs", hello, "--limit", "1")[0]["id"]
    report = b"# bees\n\nbees has four letters.\n"

    assert "report.md" in skep.cli("artifacts", hello).stdout
    assert [(one["path"], one["size"]) for one in parsed(skep, "artifacts", run)] == [("report.md", len(report))]
    skep.cli("artifacts", run, "report.md", "-o", str(tmp_path / "one"))
    assert (tmp_path / "one" / "report.md").read_bytes() == report
    again = skep.cli("artifacts", run, "--all", "-o", str(tmp_path / "one"), check=False)
    assert (again.returncode, "--force" in again.stderr) == (5, True)
    fetched = parsed(skep, "artifacts", run, "--all", "-o", str(tmp_path / "one"), "--force")
    assert [one["path"] for one in fetched] == ["report.md"]
    unknown = skep.cli("artifacts", run, "../report.md", check=False)
    assert (unknown.returncode, "left no" in unknown.stderr) == (3, True)
    assert skep.cli("artifacts", run, "--all", check=False).returncode == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["one", "report.md"]


def test_a_repository_is_deployed_with_ref_and_path(skep, git, tmp_path):
    """The command takes a repository's address, a file:// one too, with --ref and --path."""
    name = f"by-command-{tmp_path.name}"
    repository = git.repository(name)
    first = repository.commit({"inner/main.py": "print('one')"})
    repository.commit({"inner/main.py": "print('two')"})

    for source in (git.url(name), f"file://{repository.path}"):
        for ref, printed in ((first, "one\n"), ("main", "two\n")):
            skep.cli("deploy", source, "--name", "repo", "--ref", ref, "--path", "inner")
            assert skep.cli("run", "repo").stdout == printed
    assert [build["status"] for build in parsed(skep, "builds", "repo")] == ["succeeded"] * 4
    assert parsed(skep, "agents")[0]["version"]["number"] == 4


def test_a_build_that_fails_is_told(skep, tmp_path):
    """A build that fails: why, what to do, exit code 1; without --no-build nothing is half-made."""
    (tmp_path / "notes.txt").write_text("no agent")

    done = skep.cli("deploy", str(tmp_path), "--name", "no-agent", check=False)

    assert done.returncode == 1
    assert "Nothing was recognised" in done.stderr
    assert "notes.txt" in done.stderr
    made = skep.cli("deploy", str(tmp_path), "--name", "later", "--no-build")
    assert "new" in made.stdout
    refused = skep.cli("run", "later", check=False)
    assert refused.returncode == 5
    assert "has not been built" in refused.stderr or "build" in refused.stderr


def test_the_agents_exit_code_is_the_commands(skep, user):
    """`skep run` ends with the agent's exit code, or with the documented one for what befell the run."""
    user.agent("exits", ACTING, resources={"memory_mb": 64})

    for arguments, code in (
        (("-i", "do=exit", "-i", "code=42"), 42),
        (("-i", "do=memory"), 137),
        (("-i", "do=ignore", "--timeout", "300ms"), 124),
    ):
        done = skep.cli("run", "exits", *arguments, check=False)
        assert done.returncode == code, done.stderr
    assert parsed(skep, "run", "exits", "-i", "do=exit", "-i", "code=3", code=3)["exit_code"] == 3
    unknown = skep.cli("run", "nobody", check=False)
    assert unknown.returncode == 3
    assert "nobody" in unknown.stderr


def test_the_log_is_live_and_an_interrupt_cancels(skep, user):
    """The log comes while the agent runs; Ctrl-C ends the run, and the command says so with 130."""
    user.agent("live", ACTING)

    with started(skep, "run", "live", "-i", "do=ignore") as command:
        assert command.stdout.readline() == "waiting\n"
        run = user.get("/runs?agent_id=live&limit=1")["items"][0]
        assert run["status"] == "running"
        command.send_signal(2)
        _, said = command.communicate(timeout=30)

    assert command.returncode == 130, said
    assert user.get(f"/runs/{run['id']}")["status"] == "cancelled"


def test_cancel_ends_the_process(skep, user):
    """`skep cancel` ends the run's process, and `logs -f` of it ends too."""
    user.agent("cancelled", ACTING)
    run_id = skep.cli("run", "cancelled", "-i", "do=wait", "--no-wait").stdout.strip()
    with started(skep, "logs", run_id, "-f") as follower:
        assert follower.stdout.readline() == "waiting\n"

        skep.cli("cancel", run_id)
        asked = time.monotonic()
        ended = user.ended(run_id, timeout_s=10)

        assert follower.wait(30) == 0
        follower.communicate()
    assert ended["status"] == "cancelled"
    assert time.monotonic() - asked < 10
    assert "cancelled" in skep.cli("cancel", run_id).stderr


def test_a_removed_agent_leaves_its_runs(skep, user):
    """After `skep remove` the agent is gone and its runs can still be read; its name is free."""
    user.agent("passing", "print('I was here')")
    run_id = user.run("passing")["id"]

    assert "removed passing" in skep.cli("remove", "passing", "--yes").stderr

    assert skep.cli("run", "passing", check=False).returncode == 3
    assert skep.cli("output", run_id).stdout == "I was here\n"
    user.agent("passing", "print('another')")
    assert user.run("passing")["output"]["stdout"] == "another\n"


def test_tokens_do_what_their_scope_says(skep, user, hello):
    """A token may do what its scope says, in its project, until it is revoked; every refusal says why."""
    skep.cli("project", "create", "elsewhere")
    text = skep.cli("token", "create", "reader", "--scope", "read").stdout.strip()
    as_reader = {**skep.environment, "SKEP_TOKEN": text}

    def asked(*arguments, **more):
        return subprocess.run(
            [sys.executable, "-m", "skep.edge.cli.main", *arguments],
            env=as_reader | more,
            capture_output=True,
            text=True,
            check=False,
        )

    assert "hello" in asked("agents").stdout
    missing = asked("run", hello)
    assert (missing.returncode, "invoke" in missing.stderr) == (4, True), missing.stderr
    elsewhere = asked("--project", "elsewhere", "agents")
    assert elsewhere.returncode in (3, 4), elsewhere.stderr
    assert asked("agents", SKEP_TOKEN="skep_nonsense").returncode == 4
    token = next(one for one in parsed(skep, "token", "list") if one["name"] == "reader")
    assert text not in json.dumps(parsed(skep, "token", "list"))
    skep.cli("token", "revoke", token["id"])
    revoked = asked("agents")
    assert revoked.returncode == 4, revoked.stderr


def test_projects_see_nothing_of_each_other(skep, user, hello):
    """What is made in one project is not there in another, by name or by id."""
    skep.cli("project", "create", "other")
    run_id = user.get("/agents/hello")["id"]

    assert [one["name"] for one in parsed(skep, "project", "list")].count("other") == 1
    assert parsed(skep, "--project", "other", "agents") == []
    there = skep.cli("--project", "other", "run", "hello", check=False)
    assert there.returncode == 3
    assert user.ask("GET", f"/agents/{run_id}", X_Skep_Project="other").status == 404
    assert skep.cli("project", "create", "other", check=False).returncode == 5
    assert skep.cli("--project", "nowhere", "agents", check=False).returncode in (3, 4)


def test_secrets_go_in_and_do_not_come_out(skep, user):
    """A secret is a file, or a variable when the agent says so, which is audited; it is nowhere else."""
    done = subprocess.run(
        [sys.executable, "-m", "skep.edge.cli.main", "secret", "set", "API_KEY"],
        env=skep.environment,
        input=SECRET + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    user.agent("keeping", KEEPING, secrets=["API_KEY"], env_from_secret={"KEY": "API_KEY"}, env={"STAY": "yes"})

    run_id = user.start("keeping")
    until_sync(lambda: user.get(f"/runs/{run_id}")["output"]["stdout"], timeout_s=30, what="the agent to read it")

    shown = user.get(f"/runs/{run_id}")["output"]["stdout"].split()
    assert shown[1:] == [SECRET[:3], str(len(SECRET))]
    assert SECRET not in command_lines()
    user.post(f"/runs/{run_id}/cancel")
    user.ended(run_id)
    for path in (f"/runs/{run_id}", "/agents/keeping", "/secrets", "/audit", f"/runs/{run_id}/events", "/runs"):
        assert SECRET.encode() not in user.ask("GET", path).raw, path
    assert SECRET not in skep.log_file.read_text()
    assert any("env_from_secret" in json.dumps(line) or "secret" in line["action"] for line in audited(user, run_id))
    assert [one["name"] for one in parsed(skep, "secret", "list")] == ["API_KEY"]
    files = [path for path in skep.settings.data_dir.rglob("*") if path.is_file() and path.stat().st_size < 50_000_000]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    skep.cli("secret", "remove", "API_KEY")
    gone = user.run("keeping")
    assert (gone["status"], gone["error"]["code"]) == ("failed", "secret_missing")
    assert "API_KEY" in gone["error"]["message"]


def test_all_that_a_version_keeps_can_be_said_at_deploying(skep, user, tmp_path):
    """Attempts, secrets in variables, and hosts: said once they stay, said again they are changed."""
    (tmp_path / "main.py").write_text("import os; print(len(os.environ['KEY']))")
    done = subprocess.run(
        [sys.executable, "-m", "skep.edge.cli.main", "secret", "set", "IN_VARIABLE"],
        env=skep.environment,
        input=SECRET,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    deploy = ("deploy", str(tmp_path), "--name", "said")
    skep.cli(*deploy, "--attempts", "3", "--env-from-secret", "KEY=IN_VARIABLE", "--egress", "api.example:443")
    skep.cli(*deploy, "--attempts", "2", "--egress", "*.example")

    config = user.get("/agents/said")["version"]["config"]

    assert (config["max_attempts"], config["egress"]) == (2, ["api.example:443", "*.example"])
    assert config["env_from_secret"] == {"KEY": "IN_VARIABLE"}
    assert skep.cli("run", "said").stdout == f"{len(SECRET)}\n"
    run_id = user.get("/runs?agent_id=said")["items"][0]["id"]
    assert any("secret" in line["action"] for line in audited(user, run_id))
    assert skep.cli(*deploy, "--attempts", "11", check=False).returncode == 2
    assert skep.cli(*deploy, "--egress", "http://x/", check=False).returncode == 6
    skep.cli("secret", "remove", "IN_VARIABLE")


def audited(user, resource):
    """Return the lines of the audit log about one thing."""
    return [line for line in user.get("/audit?limit=500")["items"] if line["resource"] == resource]


def command_lines():
    """Return the command lines of all processes of the machine."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(lines)


def test_every_verb_speaks_json(skep, hello):
    """--json prints something that parses, on every verb that lists or shows, and for errors."""
    skep.cli("run", hello)
    for arguments in (
        ("agents",),
        ("runs",),
        ("builds",),
        ("output", hello),
        ("artifacts", hello),
        ("audit",),
        ("token", "list"),
        ("project", "list"),
        ("secret", "list"),
        ("version",),
    ):
        assert parsed(skep, *arguments) is not None
    assert parsed(skep, "run", hello, "--no-wait")["id"].startswith("run_")
    pieces = [json.loads(line) for line in skep.cli("logs", hello, "-f", "--json").stdout.splitlines()]
    assert {piece["stream"] for piece in pieces} == {"stdout", "stderr"}
    deployed = parsed(skep, "deploy", str(HELLO), "--name", hello)
    assert (deployed["status"], deployed["build"]["status"]) == ("ready", "succeeded")
    made = parsed(skep, "token", "create", "short", "--expires", "30d")
    assert made["token"].startswith("skep_")
    assert parsed(skep, "token", "revoke", made["id"])["revoked"]
    assert parsed(skep, "project", "create", "by-json")["name"] == "by-json"
    assert parsed(skep, "doctor")["ok"]
    problem = skep.cli("output", "run_01m7wd1hmcctn2xgjrq8gn96d3", "--json", check=False)
    assert (problem.returncode, problem.stdout) == (3, "")
    assert json.loads(problem.stderr)["error"]["code"] == "run_not_found"


def test_the_doctor_knows_this_installation(skep):
    """`skep doctor` says which isolation is active and what it does not protect from; `audit` who did it."""
    said = skep.cli("doctor").stdout

    assert "level container is active" in said
    assert "not protected" in said
    assert "token.create" in skep.cli("audit", "token.create").stdout
    assert skep.cli("version").stdout.startswith("skep 0.")


def test_completion_is_printed(skep):
    """The shell's completion can be had as a script."""
    environment = {**skep.environment, "SHELL": "/bin/bash", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("skep")), "--show-completion", "bash"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "complete" in done.stdout
    assert "skep" in done.stdout


def test_what_an_agent_prints_cannot_move_the_cursor(skep, user):
    """Terminal escapes of agents are made harmless on their way to the screen."""
    user.agent("rude", "print('\\x1b[2J\\x1b]0;owned\\x07clear\\rme')")

    shown = skep.cli("run", "rude").stdout

    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "clear" in shown


def test_a_second_up_leaves_the_first_alone(skep):
    """`skep up` on the same data folder says that it runs already."""
    server = skep.pid("server")

    again = skep.cli("up", "--json")

    assert json.loads(again.stdout)["already_running"] is True
    assert skep.pid("server") == server


def test_a_second_server_is_refused(skep):
    """A server that is started by hand on the same data folder ends at once and says why."""
    done = subprocess.run(
        [sys.executable, "-m", "skep.edge.cli.main", "serve"],
        env={**skep.environment, "SKEP_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 78, done.stderr
    assert "Another server works on" in done.stderr
    assert "skep down" in done.stderr
    assert skep.ready()
