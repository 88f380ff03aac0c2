"""Rules 14 and 18: what an agent asks is data, and its door is no way to use up the server that listens there."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

#: Sends each of `bodies` to the door, waits until each connection has an answer or is known to be held, and stays.
ASKING = """
import http.client, json, threading, time
def ask(body):
    door = http.client.HTTPConnection("127.0.0.1", 80)
    door.request("POST", "/ask", body.encode("latin-1"))
    os.write(1, b"%d\\n" % door.getresponse().status)
wanted = json.loads(open(os.environ["SKEP_INPUT"]).read())["bodies"]
for body in wanted:
    threading.Thread(target=ask, args=(body,), daemon=True).start()
time.sleep(60)
"""
DEEP = '{"key":"k%d","text":"t","schema":{"x":' + '{"x":' * 600 + "1" + "}" * 601 + "}"
#: No answer of the API could hold these, so each would hide all runs of the project.
UNWRITABLE = (
    '{"key":"s","text":"t","schema":{"const":"\\ud800"}}',
    '{"key":"m","text":"t","schema":{"properties":{"\\udfff":true}}}',
    DEEP.replace("%d", "1"),
    '{"key":"d","text":"t","schema":{"x":' + "[" * 400 + "]" * 400 + "}}",
)
#: Titles, erased screens, colours, reordered text, lines of its own: in each text that a person is shown.
ESCAPES = r"\u001b]0;owned\u0007\u001b[2J\u009b31m\u202eok\r\n\u001b[A"


def test_no_question_hides_the_others(attacker):
    """Whatever is asked, the run, the list of runs and the inbox can be read; what could not be is refused."""
    run = attacker.begin(attacker.obedient, ASKING, 120, bodies=list(UNWRITABLE))
    told = attacker.until_printed(run, lines=len(UNWRITABLE))

    assert told == ["422"] * len(UNWRITABLE)
    for path in (f"/api/v1/runs/{run}", "/api/v1/runs", "/api/v1/inbox"):
        assert attacker.send("GET", path)[0] == 200
    attacker.send("POST", f"/api/v1/runs/{run}/cancel")


def test_a_question_is_no_terminal_s_command(attacker, skep):
    """Its text, key and choices are shown without anything that a terminal obeys."""
    asked = f'{{"key":"{ESCAPES}","text":"{ESCAPES}","choices":["{ESCAPES}yes","no"]}}'
    run = attacker.begin(attacker.obedient, ASKING, 120, bodies=[asked])
    attacker.until(run, "waiting")
    shown = "".join(
        done.stdout + done.stderr
        for done in (skep.cli("inbox"), skep.cli("answer", run, "neither", check=False), skep.cli("answer", run, "1"))
    )

    assert "ok" in shown
    assert [character for character in "\x1b\x07\x9b\u202e\r" if character in shown] == []
    attacker.send("POST", f"/api/v1/runs/{run}/cancel")


MANY = """
import resource, socket, subprocess, sys, time
CHILD = '''
import socket, sys, time
held = []
try:
    while True:
        one = socket.create_connection(("127.0.0.1", 80), 5)
        one.send(b"POST /ask HT")
        held.append(one)
except OSError:
    pass
print(len(held), flush=True)
time.sleep(60)
'''
children = [subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) for _ in range(3)]
print(sum(int(child.stdout.readline()) for child in children), flush=True)
time.sleep(60)
"""


def test_connections_of_an_agent_do_not_use_up_the_server_s(attacker, skep):
    """Thousands that one agent holds open cost the server a few descriptors, which others need."""
    run = attacker.begin(attacker.obedient, MANY, 120)
    held = int(attacker.until_printed(run, lines=1)[0])
    descriptors = len(list(Path(f"/proc/{skep.pid('server')}/fd").iterdir()))
    attacker.send("POST", f"/api/v1/runs/{run}/cancel")

    assert held > 1000
    assert descriptors < 250


FLOOD = """
import socket, threading, time
def ask(count):
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", 80), 5) as door:
                door.sendall(request)
                count.append(door.recv(4096)[9:12])
        except OSError:
            pass
body = json.loads(open(os.environ["SKEP_INPUT"]).read())["body"].encode()
request = b"POST /ask HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body
end, answers = time.monotonic() + 5, []
threads = [threading.Thread(target=ask, args=(answers,)) for _ in range(30)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(answers), sorted({answer.decode() for answer in answers}))
"""
QUICK = '{"key":"k","text":"t","timeout_s":1e-300}'
#: Each takes a large part of a second to be read.
SCHEMA = {"anyOf": [{"pattern": f"((a{{30}}){{30}}b|{n})*"} for n in range(400)]}
SLOW = json.dumps({"key": "k", "text": "t", "timeout_s": 1e-300, "schema": SCHEMA})


@pytest.mark.parametrize(("body", "most"), [(QUICK, 400), (SLOW, 10)], ids=["many", "involved"])
def test_a_flood_of_questions_is_slowed_down(attacker, body, most):
    """Each question costs the server a commit and the reading of a schema: there is a pace to it. None is lost."""
    count, _, said = attacker.says(FLOOD, timeout_s=60, body=body).partition(" ")

    assert 0 < int(count) < most
    assert said.strip() == "['410']"
