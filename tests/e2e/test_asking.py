"""A run asks a person, on a whole installation: from Python, Node and a shell, and through the death of the server."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from user import User

from skep.testing.installation import installation
from skep.testing.wait import until_sync

pytestmark = pytest.mark.root

ASKS = """
import json, os, threading, time
import skep

task = skep.inputs()

def once():
    start = time.monotonic()
    try:
        answer = skep.ask("Go on?", choices=task.get("choices"), timeout_s=task.get("patience_s"))
    except skep.AskTimeoutError as error:
        answer = f"nobody: {error}"
    skep.output({"answer": answer, "waited": time.monotonic() - start})

def twice():
    print("begun", flush=True)
    first = skep.ask("One?", key="one")
    print("first", first, flush=True)
    second = skep.ask("Two?", key="two")
    skep.output([first, second])

def together():
    found = {}
    def one(name):
        found[name] = skep.ask(f"{name}?")
    threads = [threading.Thread(target=one, args=(name,)) for name in ("a", "b")]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    skep.output(found)

def lost():
    answer = skep.ask("Go on?")
    if os.environ["SKEP_ATTEMPT"] == "1":
        print("asked", flush=True)
        time.sleep(3600)
    skep.output(answer)

def held():
    answer = skep.ask("Go on?")
    time.sleep(task["seconds"])
    skep.output(answer)

globals()[task["do"]]()
"""


@pytest.fixture(scope="module")
def skep():
    """An installation to be killed."""
    with installation() as made:
        yield made


@pytest.fixture(scope="module")
def user(skep):
    """Its admin, with an agent that asks."""
    user = User(url=skep.url, token=skep.token)
    user.agent("asks", ASKS)
    user.agent("asks-twice", ASKS, max_attempts=2)
    return user


def waiting(user, run):
    """Wait until a run waits; return what it asks."""
    until_sync(lambda: user.get(f"/runs/{run}")["status"] == "waiting", timeout_s=60, what=f"{run} to wait")
    return user.get(f"/runs/{run}")["question"]


def answer(user, run, value, **more):
    """Answer a run's question."""
    return user.post(f"/runs/{run}/answer", {"answer": value, **more})


@contextmanager
def server_dead(skep):
    """Kill the server, and keep the launcher from starting another until the block is left."""
    launcher = skep.pid("launcher")
    os.kill(launcher, signal.SIGSTOP)
    try:
        skep.kill("server")
        yield
    finally:
        os.kill(launcher, signal.SIGCONT)
        skep.wait_ready()


def test_an_answer_reaches_the_agent(user):
    """The run waits, is seen in the inbox, and goes on with the answer within a moment."""
    run = user.start("asks", {"do": "once", "choices": ["yes", "no"]})
    question = waiting(user, run)
    assert (question["text"], question["choices"]) == ("Go on?", ["yes", "no"])
    assert [item["run_id"] for item in user.get("/inbox?status=waiting")["items"]] == [run]
    status, problem = user.refused("POST", f"/runs/{run}/answer", {"answer": "perhaps"})
    assert (status, list(problem["fields"])) == (422, ["answer"])

    assert answer(user, run, "yes")["status"] == "running"

    assert user.ended(run)["result"]["answer"] == "yes"
    assert user.get("/inbox?status=finished")["items"][0]["run_id"] == run
    status, problem = user.refused("POST", f"/runs/{run}/answer", {"answer": "no"})
    assert (status, problem["code"]) == (409, "already_answered")


def test_two_threads_ask_at_once(user):
    """Each has its own answer."""
    run = user.start("asks", {"do": "together"})
    asked = {}

    def both():
        for event in user.get(f"/runs/{run}/events")["items"]:
            if event["type"] == "run.asked":
                asked[event["data"]["question"]["text"]] = event["data"]["question"]["id"]
        return len(asked) == 2

    until_sync(both, timeout_s=60, what="both questions")
    status, problem = user.refused("POST", f"/runs/{run}/answer", {"answer": 1})
    assert (status, list(problem["fields"])) == (422, ["question"])
    assert answer(user, run, 2, question=asked["b?"])["status"] == "waiting"
    assert answer(user, run, 1, question=asked["a?"])["status"] == "running"
    assert user.ended(run)["result"] == {"a": 1, "b": 2}


def test_nobody_answers(user):
    """The agent is told so when its patience is over; the run goes on and ends well."""
    run = user.start("asks", {"do": "once", "patience_s": 1})
    ended = user.ended(run)
    assert (ended["status"], ended["result"]["answer"]) == ("succeeded", "nobody: Nobody answered in time.")
    assert ended["result"]["waited"] >= 0.9


def test_the_time_limit_does_not_count_waiting(user):
    """A run with three seconds waits five, and has what was left; what it uses up afterwards ends it."""
    run = user.start("asks", {"do": "held", "seconds": 0.1}, timeout_s=3)
    waiting(user, run)
    asked_at = time.monotonic()
    until_sync(lambda: time.monotonic() - asked_at > 5, timeout_s=10, what="five seconds")
    answer(user, run, "late")
    assert user.ended(run)["result"] == "late"

    run = user.start("asks", {"do": "held", "seconds": 3600}, timeout_s=2)
    waiting(user, run)
    answer(user, run, "now")
    assert user.ended(run)["status"] == "timed_out"


def test_a_cancel_ends_a_waiting_run(user):
    """At once."""
    run = user.start("asks", {"do": "once"})
    waiting(user, run)
    user.post(f"/runs/{run}/cancel")
    assert user.ended(run, timeout_s=10)["status"] == "cancelled"
    assert user.refused("POST", f"/runs/{run}/answer", {"answer": "yes"})[1]["code"] == "not_waiting"


@pytest.mark.parametrize("moment", ["waiting", "answered", "between"])
def test_the_server_is_killed(skep, user, moment):
    """While it waits, right after an answer, before the next one: nothing is lost, nothing asked twice."""
    run = user.start("asks", {"do": "twice"}, timeout_s=60)
    assert waiting(user, run)["key"] == "one"
    if moment == "waiting":
        skep.kill("server")
        skep.wait_ready()
        assert waiting(user, run)["key"] == "one"
    answer(user, run, 1)
    if moment == "between":
        until_sync(lambda: (user.get(f"/runs/{run}")["question"] or {}).get("key") == "two", what="the second question")
    if moment != "waiting":
        skep.kill("server")
        skep.wait_ready()
    until_sync(
        lambda: (user.get(f"/runs/{run}")["question"] or {}).get("key") == "two",
        timeout_s=60,
        what="the second question",
    )
    answer(user, run, 2)
    ended = user.ended(run)
    assert (ended["status"], ended["attempts"], ended["result"]) == ("succeeded", 1, [1, 2])
    assert ended["output"]["stdout"] == "begun\nfirst 1\n"
    types = [event["type"] for event in user.get(f"/runs/{run}/events")["items"]]
    assert (types.count("run.asked"), types.count("run.answered")) == (2, 2)


def test_a_question_comes_while_there_is_no_server(skep, user):
    """The agent asks until there is one, and its time stands still while the server is away, too."""
    run = user.start("asks", {"do": "twice"}, timeout_s=4)
    waiting(user, run)
    with server_dead(skep):
        died_at = time.monotonic()
        until_sync(lambda: time.monotonic() - died_at > 5, timeout_s=10, what="more than its time")
    waiting(user, run)
    answer(user, run, 1)
    until_sync(
        lambda: (user.get(f"/runs/{run}")["question"] or {}).get("key") == "two",
        timeout_s=60,
        what="the second question",
    )
    answer(user, run, 2)
    assert user.ended(run)["result"] == [1, 2]


def test_another_attempt_has_the_answer(skep, user):
    """The sandbox is lost after the answer: the repeated agent asks the same and has it at once."""
    run = user.start("asks-twice", {"do": "lost"})
    waiting(user, run)
    answer(user, run, {"go": "on"})
    user.until_printed(run, "asked")
    for pid in _first_processes(skep.settings.instance):
        os.kill(pid, signal.SIGKILL)
    ended = user.ended(run)
    assert (ended["status"], ended["attempts"], ended["result"]) == ("succeeded", 2, {"go": "on"})


def _first_processes(instance):
    from observer import control_groups

    found = {}
    for pid, group in control_groups():
        if f"/skep/{instance}/" in group:
            found[group] = min(pid, found.get(group, pid))
    return found.values()


def test_shells_ask(user):
    """`skep-ask` prints the answer; the same text again is another question, and nobody's answer is an exit code."""
    script = 'a=$(skep-ask "Go on?" yes no); b=$(skep-ask "Go on?"); skep-ask --timeout 1 Late?; echo "$a $b $?"'
    build = user.build("shell", {"files": {"main.sh": script}}, command=["/bin/sh", "main.sh"])
    assert build["status"] == "succeeded", build
    run = user.start("shell")
    first = waiting(user, run)
    assert first["choices"] == ["yes", "no"]
    answer(user, run, "yes")
    until_sync(
        lambda: (user.get(f"/runs/{run}")["question"] or first)["id"] != first["id"], timeout_s=60, what="the second"
    )
    answer(user, run, "no")
    ended = user.ended(run)
    assert ended["output"]["stdout"] == "yes no 1\n"
    assert "skep-ask: Nobody answered in time." in ended["output"]["stderr"]


def test_node_asks(user):
    """An ES module brings the same."""
    program = """
    import { ask, inputs, output } from "/opt/skep/lib/skep.mjs";
    const both = await Promise.all([ask("One?", { key: "1" }), ask("Two?", { key: "2", choices: ["x"] })]);
    let late = "";
    try { await ask("Late?", { timeout_s: 0.5 }); } catch (error) { late = error.code; }
    output({ both, late, inputs: inputs() });
    """
    build = user.build("node", {"files": {"main.mjs": program}}, command=["node", "main.mjs"])
    assert build["status"] == "succeeded", build
    run = user.start("node", {"n": 1})
    waiting(user, run)
    asked = {}

    def both():
        for event in user.get(f"/runs/{run}/events")["items"]:
            if event["type"] == "run.asked":
                asked[event["data"]["question"]["key"]] = event["data"]["question"]["id"]
        return len(asked) >= 2

    until_sync(both, timeout_s=60, what="both questions")
    answer(user, run, [None, "ü"], question=asked["1"])
    answer(user, run, "x", question=asked["2"])
    ended = user.ended(run)
    assert ended["status"] == "succeeded", json.dumps(ended)
    assert ended["result"] == {"both": [[None, "ü"], "x"], "late": "question_expired", "inputs": {"n": 1}}


def test_a_terminal_takes_the_answer(skep, user):
    """`skep run` shows the question and its choices, says what does not fit, and goes on with what is typed."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "skep.edge.cli.main", "run", "asks", "-i", "do=twice"]
    environment = {**os.environ, **skep.environment, "SKEP_URL": skep.url, "SKEP_TOKEN": skep.token}  # noqa: TID251
    running = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = ""

    def see(text):
        nonlocal shown
        while text not in shown:
            shown += os.read(ours, 65536).decode()
        shown = shown.partition(text)[2]

    see("It asks: One?")
    see("> ")
    os.write(ours, b"first\n")
    see("first first")
    see("It asks: Two?")
    see("> ")
    os.write(ours, b"second\n")
    see('result: ["first", "second"]')
    see("succeeded")
    assert running.wait(timeout=30) == 0
    os.close(ours)


def together(user):
    """Start a run that asks two things at once, and wait for both; return it and its questions."""
    run = user.start("asks", {"do": "together"})
    until_sync(lambda: len(user.get(f"/runs/{run}")["questions"]) == 2, timeout_s=60, what="both questions")
    return run, user.get(f"/runs/{run}")["questions"]


def test_the_command_line_chooses_among_several(skep, user):
    """An answer to none in particular is refused; the inbox has the ids, and what was answered is said."""
    run, (one, two) = together(user)
    listed = skep.cli("inbox", "--status", "waiting").stdout
    assert all(asked["id"] in listed and asked["text"] in listed for asked in (one, two))
    refused = skep.cli("answer", run, "1", check=False)
    assert refused.returncode == 6
    assert all(f"{asked['id']}: {asked['text']}" in refused.stderr for asked in (one, two))
    assert f"answered: {two['text']}" in skep.cli("answer", run, "2", "--question", two["id"]).stderr
    assert f"answered: {one['text']}" in skep.cli("answer", run, "1").stderr
    assert user.ended(run)["result"] == {one["text"][0]: "1", two["text"][0]: "2"}


def test_a_terminal_takes_one_answer_after_the_other(skep, user):
    """Of what is asked at once each question is shown when the one before it is answered."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "skep.edge.cli.main", "run", "asks", "-i", "do=together"]
    environment = {**os.environ, **skep.environment, "SKEP_URL": skep.url, "SKEP_TOKEN": skep.token}  # noqa: TID251
    running = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = ""
    for number in (1, 2):
        while shown.count("> ") < number:
            shown += os.read(ours, 65536).decode()
        os.write(ours, re.findall(r"It asks: (\w)", shown)[-1].encode() + b"\n")
    while "succeeded" not in shown:
        shown += os.read(ours, 65536).decode()
    assert json.loads(re.search(r"result: (.*)\r", shown)[1]) == {"a": "a", "b": "b"}
    assert running.wait(timeout=30) == 0
    os.close(ours)


def test_a_pipe_is_told_what_to_type(skep, user):
    """Nobody can be asked there: the question is shown with the command that answers it; the run goes on waiting."""
    argv = [sys.executable, "-m", "skep.edge.cli.main", "run", "asks", "-i", "do=once"]
    environment = {**os.environ, **skep.environment, "SKEP_URL": skep.url, "SKEP_TOKEN": skep.token}  # noqa: TID251
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, text=True
    ) as running:
        said = ""
        while "skep answer" not in said:
            said = running.stderr.readline()
        run = said.split()[-2]
        assert user.get(f"/runs/{run}")["status"] == "waiting"
        answer(user, run, "yes")
        assert 'result: {"answer": "yes"' in running.stderr.read()
        assert running.wait(timeout=30) == 0


def test_the_command_line(skep, user):
    """`skep inbox` lists it, `skep answer` answers, in a pipe `skep run` says what to type."""
    run = user.start("asks", {"do": "once", "choices": ["yes", "no"]})
    waiting(user, run)
    assert run in skep.cli("inbox", "--status", "waiting").stdout
    assert skep.cli("answer", run, check=False).returncode == 6
    assert "answered" in skep.cli("answer", run, "2").stderr
    assert user.ended(run)["result"]["answer"] == "no"
    told = skep.cli("answer", run, "yes", check=False)
    assert (told.returncode, "already" in told.stderr) == (5, True)
