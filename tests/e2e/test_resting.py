"""Runs that wait for people block nobody, on a whole installation that does one run at a time."""

import pytest
from user import User

from skep.testing.installation import installation
from skep.testing.wait import until_sync

pytestmark = pytest.mark.root

ASKS = """
import skep

if skep.inputs().get("ask"):
    skep.output(skep.ask("Go on?"))
else:
    skep.output("done")
"""
AMONG_MANY = 4


@pytest.fixture(scope="module")
def skep():
    """An installation with one place for runs, that may have three more wait."""
    with installation(SKEP_MAX_RUNS="1", SKEP_MAX_BUILDS="1", SKEP_MAX_SANDBOXES="5") as made:
        yield made


@pytest.fixture(scope="module")
def user(skep):
    """Its admin, with an agent that asks if it shall."""
    user = User(url=skep.url, token=skep.token)
    user.agent("asks", ASKS)
    return user


def waiting(user):
    """Start a run, and wait until it waits."""
    run = user.start("asks", {"ask": True})
    still_waiting(user, run)
    return run


def still_waiting(user, run):
    """Wait until a run waits."""
    until_sync(lambda: user.get(f"/runs/{run}")["status"] == "waiting", timeout_s=60, what=f"{run} to wait")


def answer(user, run, value):
    """Answer, and see the run end with it."""
    user.post(f"/runs/{run}/answer", {"answer": value})
    assert user.ended(run)["result"] == value


@pytest.mark.parametrize("killed", [False, True])
def test_another_run_goes_on_meanwhile(skep, user, killed):
    """It begins and ends while the first waits, also when the server died in between; then the first goes on."""
    first = waiting(user)
    if killed:
        skep.kill("server")
        skep.wait_ready()
    second = user.ended(user.start("asks"))
    assert (second["status"], second["result"]) == ("succeeded", "done")
    still_waiting(user, first)
    if killed:
        skep.kill("server")
        skep.wait_ready()
    answer(user, first, "yes")
    run = user.get(f"/runs/{first}")
    assert (run["status"], run["attempts"]) == ("succeeded", 1)


def test_an_answer_needs_no_place(user):
    """Who is answered goes on at once, though the only place is another's; what is new waits until both are done."""
    first = waiting(user)
    second = waiting(user)
    third = waiting(user)
    for run in (second, third, first):
        answer(user, run, run)


def test_as_many_wait_as_there_are_sandboxes(skep, user):
    """One more keeps its place, and what is new waits for an answer; after the server's death all are as before."""
    waits = [waiting(user) for _ in range(AMONG_MANY)]
    last = user.start("asks")
    skep.kill("server")
    skep.wait_ready()
    for run in waits:
        still_waiting(user, run)
    assert user.get(f"/runs/{last}")["status"] == "queued"
    answer(user, waits.pop(), "yes")
    assert user.ended(last)["result"] == "done"
    for run in waits:
        answer(user, run, "late")
