"""The keeper is killed at any moment; the next one finds what is there and can remove it."""

import json
import random
import socket
import threading

import pytest
from tests.skep_keeper.conftest import SPEC, new_id
from tests.skep_keeper.test_sandboxes import traces

from skep.testing.wait import until_sync

pytestmark = pytest.mark.root


def begin(ask, op, **fields):
    """Send a request and do not wait for its answer."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(str(ask.running.socket))
    client.sendall(json.dumps({"op": op, **fields}).encode())
    return client


def stages(folder):
    """Count how far the making of a sandbox has come."""
    return sum((folder / name).exists() for name in ("intent.json", "disk/up", "gate/root/usr", "config.json", "pid"))


@pytest.mark.parametrize("stage", [1, 2, 3, 4, 5])
def test_killed_while_it_makes_a_sandbox(ask, stage):
    """Wherever the making stopped: it is listed, and made anew or removed without a trace."""
    with begin(ask, "create", id=new_id(1), **SPEC):
        until_sync(lambda: stages(ask.folder(1)) >= stage, what=f"stage {stage}")
        ask.running.kill()
    ask.running.restart()

    assert [item["id"] for item in ask("list")["items"]] == [new_id(1)]
    assert ask.create(1)["ok"]["alive"] is True
    assert ask("leftovers")["items"] == []
    assert ask("destroy", id=new_id(1)) == {"ok": {}}
    assert traces(ask) == []


def test_killed_while_it_removes_sandboxes(ask):
    """Removal goes on where it stopped."""
    for number in range(4):
        ask.create(number)
    clients = [begin(ask, "destroy", id=new_id(number)) for number in range(4)]
    until_sync(lambda: not (ask.folder(0) / "made.json").exists())
    ask.running.kill()
    for client in clients:
        client.close()
    ask.running.restart()

    ask("sweep")
    for item in ask("list")["items"]:
        assert ask("destroy", id=item["id"]) == {"ok": {}}
    assert ask("leftovers")["items"] == []
    assert traces(ask) == []


def test_killed_at_random_while_much_goes_on(ask):
    """Creates and removals under way at a dozen deaths: in the end nothing is left."""
    chance = random.Random(7)
    for round_ in range(12):
        clients = [begin(ask, "create", id=new_id(10 * round_ + number), **SPEC) for number in range(3)]
        clients += [begin(ask, "destroy", id=item["id"]) for item in ask("list")["items"][:2]]
        threading.Event().wait(chance.uniform(0, 0.15))
        ask.running.kill()
        for client in clients:
            client.close()
        ask.running.restart()

    ask("sweep")
    for item in ask("list")["items"]:
        assert ask("destroy", id=item["id"]) == {"ok": {}}
    assert ask("leftovers")["items"] == []
    assert traces(ask) == []


def test_sandboxes_outlive_the_keeper(ask):
    """The next keeper adopts what the killed one has made."""
    ask.create(1)
    before = ask.process(1)
    ask.running.kill()
    ask.running.restart()

    found = ask("inspect", id=new_id(1))["ok"]
    assert (found["alive"], found["made"]) == (True, True)
    assert ask.create(1)["ok"]["alive"] is True
    assert ask.process(1) == before
