"""Hints of the API, as the command shows them."""

import re
from pathlib import Path

import pytest

import skep
from skep.edge.cli.hints import in_verbs

SOURCES = [Path(skep.__file__).parent / folder for folder in ("product", "edge/api")]
HINT = re.compile(r'hint ?= ?f?"((?:[^"\\]|\\.)*)"')


def hints_of_the_api() -> list[str]:
    """Return the hints that the source writes out, a word in the place of each value."""
    texts = (path.read_text() for folder in SOURCES for path in sorted(folder.rglob("*.py")))
    return [re.sub(r"\{[^}]*\}", "X", hint) for text in texts for hint in HINT.findall(text)]


def test_no_hint_names_a_call():
    """Nobody at a command line is told to send a request."""
    found = hints_of_the_api()
    assert any("/api/v1/" in hint for hint in found)
    assert [hint for hint in found if re.search(r"/api/|Authorization|\b(GET|POST|PUT) /", in_verbs(hint))] == []


@pytest.mark.parametrize(
    "hint",
    [
        "The keys in resources are cpus, memory_mb, disk_mb, pids, timeout_s.",
        "resources.memory_mb is a number: resources.memory_mb: 512",
        "max_attempts is no key of skep.yaml.",
    ],
)
def test_the_keys_of_a_file_stay(hint):
    """Whoever reads about skep.yaml is told what to write into it."""
    assert in_verbs(hint) == hint


@pytest.mark.parametrize(
    ("sent", "typed"),
    [
        ("Build it first: POST /api/v1/agents/agt_1/build", "Build it first: skep build agt_1"),
        ("Put them with PUT /api/v1/secrets/NAME, then", "Put them with skep secret set NAME, then"),
        ("Ask for more with timeout_s.", "Ask for more with --timeout."),
        ("Ask for more with resources.memory_mb.", "Ask for more with skep deploy ... --memory."),
        (
            "or let the agent be repeated with max_attempts.",
            "or let the agent be repeated with skep deploy ... --attempts.",
        ),
        ("Set `path` if it is below, or give a `command`.", "Give --path if it is below, or give --command."),
        ("Check `path`: it is relative.", "Check --path: it is relative."),
        ("Its log says more: skep logs RUN", "Its log says more: skep logs run_1"),
        ("skep doctor says what is active.", "skep doctor says what is active."),
    ],
)
def test_calls_become_verbs(sent, typed):
    """What is named stays named."""
    assert in_verbs(sent, run="run_1") == typed
