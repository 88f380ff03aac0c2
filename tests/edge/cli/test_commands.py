"""The command as a new user types it, against a whole installation."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from skep.edge.cli import exits
from skep.testing.installation import installation
from skep.testing.wait import until_sync

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

#: Does what its inputs say.
AGENT = """
import json, os, sys, time
inputs = json.load(open(os.environ["SKEP_INPUT"]))
print("out \\x1b[2J\\x1b]0;title\\x07", inputs.get("word", ""), flush=True)
print("err", file=sys.stderr, flush=True)
if "secret" in inputs:
    print(open("/run/secrets/" + inputs["secret"]).read()[::-1], os.environ.get("COLOUR"))
if "hog" in inputs:
    hog = bytearray(inputs["hog"] * 2**20)
time.sleep(inputs.get("sleep", 0))
json.dump(inputs, open(os.environ["SKEP_OUTPUT"], "w"))
if "signal" in inputs:
    os.kill(os.getpid(), inputs["signal"])
sys.exit(inputs.get("exit", 0))
"""


@pytest.fixture(scope="module")
def silent():
    """Host and port of a git server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def skep(silent):
    """An installation of its own."""
    if os.geteuid() != 0:
        assert not os.environ.get("CI"), "needs root"  # noqa: TID251  in CI a missing part is a failure
        pytest.skip("needs root")
    with installation(SKEP_GIT_HTTP_HOSTS=silent, SKEP_EGRESS_ALLOW_PRIVATE=silent, SKEP_UPLOAD_LIMIT_MB="1") as made:
        yield made


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The folder of an agent."""
    folder = tmp_path_factory.mktemp("sources") / "Busy_Bee"
    folder.mkdir()
    (folder / "main.py").write_text(textwrap.dedent(AGENT))
    return folder


@pytest.fixture(scope="module")
def bee(skep, source):
    """The agent, deployed."""
    skep.cli("deploy", str(source))
    return "busy-bee"


def as_json(done):
    """Return what a command printed on standard output."""
    return json.loads(done.stdout)


def test_deploying_again_changes_the_same_agent(skep, source, bee):
    """The second time makes another version, and no second agent."""
    again = as_json(skep.cli("deploy", str(source), "--env", "COLOUR=blue", "--memory", "256M", "--json"))
    assert again["name"] == bee
    assert again["status"] == "ready"
    assert again["env"] == {"COLOUR": "blue"}
    assert again["resources"]["memory_mb"] == 256
    assert [agent["name"] for agent in as_json(skep.cli("agents", "--json"))].count(bee) == 1


def test_deploy_ends_with_what_to_type_next(skep, source):
    """A table, then the command."""
    done = skep.cli("deploy", str(source), "--name", "shown")
    assert "ready" in done.stdout
    assert "skep run shown" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_run_prints_the_log_and_the_result(skep, bee):
    """Output goes where it came from; nothing in it moves the terminal."""
    done = skep.cli("run", bee, "--input", "word=bees", "--input", "n=3")
    assert done.stdout == "out  bees\n"
    assert "err\n" in done.stderr
    assert '"n": 3' in done.stderr


def test_inputs_are_what_the_schema_says(skep, tmp_path):
    """A year for a text is a text; what does not fit is refused with how to force either."""
    (tmp_path / "skep.yaml").write_text("inputs: {year: string, n: integer}\n")
    (tmp_path / "main.py").write_text(textwrap.dedent(AGENT))
    skep.cli("deploy", str(tmp_path), "--name", "typed")
    run = as_json(skep.cli("run", "typed", "-i", "year=2026", "-i", "n=3", "--json"))
    assert run["result"] == {"year": "2026", "n": 3}
    refused = skep.cli("run", "typed", "-i", "year=2026", "-i", "n=many", check=False)
    assert refused.returncode == exits.INVALID
    assert "--input-file takes any JSON" in refused.stderr


def test_a_run_as_json(skep, bee, tmp_path):
    """One object on standard output, with all that was kept."""
    inputs = tmp_path / "inputs.json"
    inputs.write_text('{"word": "file", "n": [1]}')
    run = as_json(skep.cli("run", bee, "--input-file", str(inputs), "--input", "word=line", "--json"))
    assert run["status"] == "succeeded"
    assert run["result"] == {"word": "line", "n": [1]}
    assert run["output"]["stderr"] == "err\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--input", "exit=3"), 3),
        (("--input", "signal=15"), 143),
        (("--input", "sleep=60", "--timeout", "1s"), exits.TIMED_OUT),
        (("--input", "hog=2000"), exits.OUT_OF_MEMORY),
    ],
)
def test_a_run_ends_with_the_agents_code(skep, bee, arguments, code):
    """Or with what `timeout` and the shell would say."""
    assert skep.cli("run", bee, *arguments, check=False).returncode == code


def test_ctrl_c_cancels_the_run(skep, bee):
    """The command ends with 130 when the run has ended."""
    process = subprocess.Popen(
        (sys.executable, "-m", "skep.edge.cli", "run", bee, "--input", "sleep=60"),
        env={**skep.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("out")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == exits.CANCELLED, told
    assert as_json(skep.cli("runs", bee, "--limit", "1", "--json"))[0]["status"] == "cancelled"


def test_ctrl_c_leaves_the_build(skep, silent):
    """A build goes on when nobody watches: the command says so, how to follow and how to end it; 130."""
    process = subprocess.Popen(
        (sys.executable, "-m", "skep.edge.cli", "deploy", f"http://{silent}/slow.git"),
        env={**skep.environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    build = re.search(r"bld_\w+", said)
    assert build is not None, said
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == exits.CANCELLED, told
    assert f"build {build[0]} goes on" in told
    assert f"skep logs {build[0]} -f" in told
    assert "Traceback" not in told
    assert as_json(skep.cli("cancel", build[0], "--json"))["status"] in ("running", "cancelled")


def test_an_agent_is_built_again(skep, bee):
    """`skep build` makes the next version of what is there; its progress and its end are those of a deploy."""
    agents = {agent["name"]: agent for agent in as_json(skep.cli("agents", "--json"))}
    before = agents[bee]["version"]["number"]
    done = skep.cli("build", bee)
    assert "Recognised" in done.stderr
    assert f"v{before + 1}" in done.stdout
    assert f"next: skep run {bee}" in done.stderr
    assert skep.cli("build", "no-such-agent", check=False).returncode == exits.NOT_FOUND


def test_what_is_not_there_yet_is_said_at_deploying(skep, source):
    """A granted secret that nobody has set, and an agent that nobody has built: each with what to type."""
    done = skep.cli("deploy", str(source), "--name", "lacking", "--secret", "ABSENT", "--no-build")
    assert "secret ABSENT is not there yet: skep secret set ABSENT" in done.stderr
    assert "next: skep build lacking" in done.stderr
    refused = skep.cli("run", "lacking", check=False)
    assert refused.returncode == exits.CONFLICT
    assert "hint: skep build lacking" in refused.stderr


def test_a_prefix_decides_what_is_meant(skep, bee):
    """Also of a mistyped id; and the name of an agent is nothing to cancel."""
    for verb in ("logs", "cancel"):
        done = skep.cli(verb, "bld_nope", check=False)
        assert (done.returncode, "no build bld_nope" in done.stderr) == (exits.NOT_FOUND, True), done.stderr
    agents = skep.cli("cancel", bee, check=False)
    assert (agents.returncode, f"skep runs {bee}" in agents.stderr) == (exits.NOT_FOUND, True)


def test_a_log_is_followed_through_the_death_of_the_server(skep, bee):
    """SIGKILL in the middle; the reader notices nothing but a pause."""
    run = skep.cli("run", bee, "--input", "sleep=4", "--input", "word=through", "--no-wait").stdout.strip()
    following = subprocess.Popen(
        (sys.executable, "-m", "skep.edge.cli", "logs", run, "-f"),
        env={**skep.environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert following.stdout.readline() == "out  through\n"
    assert skep.kill("server") is not None
    rest, _ = following.communicate(timeout=60)
    assert (rest, following.returncode) == ("", 0)
    assert as_json(skep.cli("output", run, "--json"))["status"] == "succeeded"


def test_logs_and_output_take_a_name(skep, bee):
    """A name means its latest run; without runs, its latest build."""
    skep.cli("run", bee, "--input", "word=latest")
    assert skep.cli("logs", bee).stdout == "out  latest\n"
    assert skep.cli("output", bee).stdout == "out  latest\n"
    pieces = [json.loads(line) for line in skep.cli("logs", bee, "--json").stdout.splitlines()]
    assert {piece["stream"] for piece in pieces} >= {"stdout", "stderr"}
    build = as_json(skep.cli("builds", bee, "--limit", "1", "--json"))[0]["id"]
    assert "Recognised" in skep.cli("logs", build).stderr


def test_secrets_come_from_standard_input(skep, bee, source):
    """The value reaches the agent as a file, and no listing."""
    done = subprocess.run(
        (sys.executable, "-m", "skep.edge.cli", "secret", "set", "HONEY"),
        env={**skep.environment},
        input="sweet-value\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "sweet-value" not in done.stdout + done.stderr
    skep.cli("deploy", str(source), "--secret", "HONEY")
    run = as_json(skep.cli("run", bee, "--input", "secret=HONEY", "--json"))
    assert "eulav-teews" in run["output"]["stdout"]
    assert "sweet-value" not in skep.cli("secret", "list", "--json").stdout
    skep.cli("secret", "remove", "HONEY")
    assert "HONEY" not in skep.cli("secret", "list").stdout


def test_a_local_repository_is_packed_at_its_ref(skep, source, tmp_path):
    """file:// is read here: the API never sees this machine's folders."""
    repository = tmp_path / "repo"
    repository.mkdir()
    for argv in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "x"), ("tag", "v1")):
        (repository / "main.py").write_text("print('tagged')")
        subprocess.run(("git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(repository), *argv), check=True)
    (repository / "main.py").write_text("print('dirty')")
    skep.cli("deploy", f"file://{repository}", "--ref", "v1", "--name", "tagged")
    assert skep.cli("run", "tagged").stdout == "tagged\n"
    unknown = skep.cli("deploy", f"file://{repository}", "--ref", "v9", check=False)
    assert unknown.returncode == exits.INVALID
    assert "v9" in unknown.stderr


def test_a_build_that_fails_says_why(skep, tmp_path):
    """What was looked for is told, a line each and once; the command ends with 1."""
    (tmp_path / "README").write_text("nothing to run")
    done = skep.cli("deploy", str(tmp_path), "--name", "nothing", check=False)
    assert done.returncode == exits.ERROR
    lines = done.stderr.splitlines()
    assert len([line for line in lines if "main.py" in line]) == 1
    failure = as_json(skep.cli("builds", "nothing", "--json"))[0]["error"]
    assert [line for line in lines if failure["message"] in line] == [f"build failed: {failure['message']}"]
    assert "Failed (" not in done.stderr
    assert "Failed (" in skep.cli("logs", "nothing").stderr
    assert "  dockerfile: a Dockerfile (which this installation cannot build yet)" in lines


def test_what_the_server_does_not_take_is_not_packed(skep, tmp_path):
    """Its limits count, not those of this machine; the one that is in the way is named. A pipe is named, too."""
    (tmp_path / "noise").write_bytes(random.Random(0).randbytes(2 << 20))
    refused = skep.cli("deploy", str(tmp_path), "--name", "noisy", check=False)
    assert refused.returncode == exits.INVALID
    assert "larger than 1 MiB packed, the server's SKEP_UPLOAD_LIMIT_MB" in refused.stderr
    (tmp_path / "noise").unlink()
    (tmp_path / "main.py").write_text("print('quiet')")
    os.mkfifo(tmp_path / "pipe")
    assert "left out: pipe" in skep.cli("deploy", str(tmp_path), "--name", "noisy", "--no-build").stderr


def test_errors_have_their_codes(skep, bee):
    """Not found, refused, wrong, unreachable: each says what to do, on standard error."""
    missing = skep.cli("run", "no-such-agent", check=False)
    assert (missing.returncode, missing.stdout) == (exits.NOT_FOUND, "")
    assert skep.cli("run", bee, "--input", "novalue", check=False).returncode == exits.USAGE
    assert skep.cli("deploy", "/no/such/folder", check=False).returncode == exits.INVALID
    assert skep.cli("--url", "http://127.0.0.1:9", "agents", check=False).returncode == exits.REFUSED
    problem = json.loads(skep.cli("logs", "no-such-agent", "--json", check=False).stderr)
    assert problem["error"]["code"] == "agent_not_found"


def test_a_token_may_do_what_its_scopes_say(skep, bee):
    """It is shown once, works, is refused what it may not, and can be revoked."""
    made = as_json(skep.cli("token", "create", "reader", "--scope", "read", "--expires", "1h", "--json"))
    environment = {**skep.environment, "SKEP_TOKEN": made["token"]}

    def tried(*arguments: str) -> int:
        argv = (sys.executable, "-m", "skep.edge.cli", *arguments)
        return subprocess.run(argv, env=environment, capture_output=True, check=False).returncode

    assert tried("agents") == exits.OK
    assert tried("run", bee) == exits.REFUSED
    assert made["id"] in skep.cli("token", "list").stdout
    assert made["token"] not in skep.cli("token", "list", "--json").stdout
    skep.cli("token", "revoke", made["id"])
    assert tried("agents") == exits.REFUSED


def test_projects_are_apart(skep, bee):
    """An agent of one is not there in the other."""
    skep.cli("project", "create", "apart")
    assert "apart" in skep.cli("project", "list").stdout
    assert as_json(skep.cli("--project", "apart", "agents", "--json")) == []
    assert skep.cli("--project", "apart", "run", bee, check=False).returncode == exits.NOT_FOUND


def test_audit_doctor_and_version(skep, bee):
    """Who did what; what is the matter; what is running."""
    assert "agent" in skep.cli("audit").stdout
    report = as_json(skep.cli("doctor", "--json"))
    assert report["ok"]
    assert any("container" in finding["message"] for finding in report["findings"])
    assert as_json(skep.cli("version", "--json"))["server"]


def test_cancel_and_remove(skep, source):
    """A run ends soon after its cancel; a removed agent is gone, its runs are not."""
    skep.cli("deploy", str(source), "--name", "gone")
    run = skep.cli("run", "gone", "--input", "sleep=60", "--no-wait").stdout.strip()
    skep.cli("cancel", run)
    until_sync(
        lambda: as_json(skep.cli("output", run, "--json"))["status"] == "cancelled", timeout_s=20, what="the cancel"
    )
    skep.cli("remove", "gone", "--yes")
    assert skep.cli("run", "gone", check=False).returncode == exits.NOT_FOUND
    assert run in skep.cli("runs", "--json").stdout


def test_up_says_that_it_runs_already(skep):
    """A second `skep up` on the same data folder changes nothing."""
    again = as_json(skep.cli("up", "--json"))
    assert (again["already_running"], again["url"]) == (True, skep.url)
    elsewhere = skep.cli("up", "--port", "9")
    assert skep.url in elsewhere.stderr
    assert "port 9 was not applied" in elsewhere.stderr
    assert "not applied" not in skep.cli("up").stderr


def test_the_machines_own_server_needs_no_token(skep):
    """SKEP_URL may name it, then as ever the admin token of the installation is taken; nobody else is sent that."""
    assert skep.cli("--url", skep.url, "agents").returncode == exits.OK
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        refused = skep.cli("--url", f"http://127.0.0.1:{stranger.getsockname()[1]}", "agents", check=False)
        assert refused.returncode == exits.REFUSED
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.accept()
