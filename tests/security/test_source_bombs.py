"""Rule 14: what a source says is read within bounds, by a server that others need meanwhile."""

import json
from itertools import pairwise

import pytest

pytestmark = pytest.mark.root

_LONG = 250_000
MAIN = {"main.py": "print(1)\n"}
PACKAGE = {"package.json": '{"name": "x", "main": "main.js"}', "main.js": ""}
CREW = {"tasks.yaml": "a: {description: x, expected_output: y, agent: a}\n", "main.py": "import crewai\n"}
#: What grows with the square of a text, or faster, where it is read carelessly.
BOMBS = {
    "a requirement's spaces": {**MAIN, "requirements.txt": "a" + " " * _LONG + "%"},
    "a requirement's name": {**MAIN, "requirements.txt": "a" * _LONG + "#--hash=sha256:" + "0" * 64},
    "joined lines": {**MAIN, "requirements.txt": "a\\\n" * (_LONG // 3)},
    "a project's requirement": {
        **MAIN,
        "pyproject.toml": f'[project]\nname="x"\nversion="1"\ndependencies=["a{" " * _LONG}%"]\n',
    },
    "a dotted key": {**MAIN, "pyproject.toml": "a." * 100_000 + "b = 1"},
    "nested brackets": {**MAIN, "pyproject.toml": "a=" + "[" * 100_000},
    "YAML's aliases": {
        **MAIN,
        "skep.yaml": "a: &a [x,x]\n" + "".join(f"{b}: &{b} [{f'*{a},' * 9}]\n" for a, b in pairwise("abcdefgh")),
    },
    "nested YAML": {**MAIN, "skep.yaml": "[" * 60_000},
    "a schedule": {**MAIN, "skep.yaml": "schedule: '" + "*/1," * 15_000 + "*'"},
    "a crew's aliases": {**CREW, "agents.yaml": "&a {role: *a, goal: *a, backstory: *a}\n"},
    "a range of versions": {
        **PACKAGE,
        "package.json": json.dumps({"name": "x", "main": "main.js", "engines": {"node": ">= " * 60_000}}),
    },
    "nested JSON": {**PACKAGE, "package.json": '{"a":' * 50_000},
    "a lock of brackets": {**PACKAGE, "package-lock.json": "[" * 100_000},
    "graphs": {**MAIN, "langgraph.json": json.dumps({"graphs": {"g": "./" + "a/" * 50_000 + "x.py:g"}})},
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_source_stops_nobody(attacker, bomb):
    """It is planned, or refused in words; the server answers all the time, and at the end."""
    build = attacker.make("/api/v1/builds", {"source": {"files": BOMBS[bomb]}, "explain": True})
    ended = attacker._over(f"/api/v1/builds/{build['id']}")

    assert ended["status"] in ("succeeded", "failed")
    assert ended["error"] is None or ended["error"]["code"] not in ("internal", "lost", "attempts_exhausted")
    assert attacker.send("GET", "/readyz")[0] == 200
