"""What deploying again changes."""

import pytest
from typer.main import get_command

from skep.edge.cli.building import next_command
from skep.edge.cli.command import app
from skep.edge.cli.sources import Remote, remote_body
from skep.edge.cli.wishes import Wish, changes, told
from skep.edge.wire.agents import AgentView, ResourcesBody
from skep.edge.wire.sources import SourceBody

NOW = "2026-01-01T00:00:00Z"
SOURCE = SourceBody(upload="upl_1")


def agent(**changed):
    """An agent as the server renders it."""
    config = {
        "command": [],
        "env": {"A": "1"},
        "secrets": ["KEY"],
        "env_from_secret": {},
        "resources": {"cpus": 1.0},
        "isolation": "container",
        "egress": [],
        "max_attempts": 1,
    }
    whole = config | {
        "id": "agt_1",
        "project_id": "prj_1",
        "name": "hello",
        "title": "",
        "kind": "job",
        "status": "ready",
        "source": {"upload": "upl_0"},
        "created_at": NOW,
        "updated_at": NOW,
    }
    return AgentView.model_validate(whole | changed)


def wish(**changed):
    """What was asked for."""
    nothing = {"env": {}, "secrets": [], "env_from_secret": {}, "resources": {}, "command": None, "egress": []}
    return Wish(**{"name": "hello", "attempts": None, "poll_s": None, **nothing} | changed)


def sent(existing, wanted):
    """Return the body of the PATCH, but for the source."""
    body = changes(existing, wanted, SOURCE).model_dump(exclude_unset=True)
    assert body.pop("source") == {"upload": "upl_1"}
    return body


def test_only_the_source_changes_when_nothing_else_is_asked_for():
    """Deploying twice makes no needless version."""
    assert sent(agent(), wish()) == {}
    assert sent(agent(), wish(env={"A": "1"}, secrets=["KEY"], resources={"cpus": 1.0}, attempts=1)) == {}


def test_what_is_asked_for_is_added():
    """Environment, secrets and resources that were set before stay."""
    assert sent(agent(), wish(env={"B": "2"}, secrets=["OTHER"], resources={"memory_mb": 64})) == {
        "env": {"A": "1", "B": "2"},
        "secrets": ["KEY", "OTHER"],
        "resources": {"cpus": 1.0, "memory_mb": 64},
    }


def test_attempts_egress_and_secrets_in_variables_are_added():
    """Hosts and variables join those that were there; the number of attempts is exchanged."""
    before = agent(egress=["a.example"], env_from_secret={"ONE": "KEY"}, max_attempts=2)
    wanted = wish(egress=["b.example:443", "a.example"], env_from_secret={"TWO": "KEY"}, attempts=3)
    assert sent(before, wanted) == {
        "egress": ["a.example", "b.example:443"],
        "env_from_secret": {"ONE": "KEY", "TWO": "KEY"},
        "max_attempts": 3,
    }
    assert sent(before, wish()) == {}


def test_what_was_given_can_be_taken_back():
    """By name, whatever it is the name of; it is taken back before anything is added, and an empty value is one."""
    before = agent(
        env={"A": "1", "B": "2"},
        secrets=["KEY", "B"],
        env_from_secret={"ONE": "KEY"},
        egress=["a.example", "b.example:443"],
        command=["python", "x.py"],
    )
    assert sent(before, wish(unset=frozenset({"B", "ONE", "a.example"}), command=[])) == {
        "env": {"A": "1"},
        "secrets": ["KEY"],
        "env_from_secret": {},
        "egress": ["b.example:443"],
        "command": [],
    }
    assert sent(before, wish(unset=frozenset({"B"}), env={"B": ""}, secrets=["B"])) == {"env": {"A": "1", "B": ""}}
    assert sent(before, wish(unset=frozenset({"NONE"}))) == {}
    assert list(told(before, wish(unset=frozenset({"NONE", "A"})), SOURCE)) == [
        "--unset NONE: the agent has nothing of that name"
    ]


def test_every_limit_of_a_run_has_its_option():
    """What the API takes as resources can be typed."""
    options = {option for parameter in get_command(app).commands["deploy"].params for option in parameter.opts}
    assert {"--cpus", "--memory", "--disk", "--pids", "--timeout"} <= options
    assert len(ResourcesBody.model_fields) == 5


URL = "https://git.example/me/agent.git"
GIT = {"git": {"url": URL, "ref": "v1", "path": "bees", "secret": "KEY"}}


@pytest.mark.parametrize(
    ("remote", "ref", "path", "expected"),
    [
        (Remote(url=URL), None, None, {"ref": "v1", "path": "bees", "secret": "KEY"}),
        (Remote(url=URL), "v2", None, {"ref": "v2", "path": "bees", "secret": "KEY"}),
        (Remote(url=URL), "", None, {"ref": None, "path": "bees", "secret": "KEY"}),
        (Remote(url=URL), None, "", {"ref": "v1", "path": "", "secret": "KEY"}),
        (Remote(url=URL, secret="OTHER"), None, "wasps", {"ref": "v1", "path": "wasps", "secret": "OTHER"}),
    ],
)
def test_what_is_not_mentioned_of_the_same_repository_is_kept(remote, ref, path, expected):
    """Ref, path and secret stay until they are said; an empty one is cleared."""
    body = changes(agent(source=GIT), wish(poll_s=30.0), remote_body(remote, ref, path))
    assert body.model_dump(exclude_unset=True) == {"source": {"git": {"url": URL, **expected}}, "poll_s": 30.0}


@pytest.mark.parametrize(
    ("ref", "path", "said"),
    [
        (None, None, ['kept from before: --ref v1 --path bees --git-secret KEY; --ref "" --path "" clears it']),
        ("v2", None, ['kept from before: --path bees --git-secret KEY; --path "" clears it']),
        ("", "", ["kept from before: --git-secret KEY"]),
    ],
)
def test_what_is_kept_is_said(ref, path, said):
    """Nobody wonders where a folder comes from that they did not type; what was typed is no news."""
    assert list(told(agent(source=GIT), wish(), remote_body(Remote(url=URL), ref, path))) == said


def test_nothing_is_kept_where_nothing_was_said():
    """Of another repository, and of one that was deployed plainly."""
    for before in ({"git": {"url": URL}}, {"git": {"url": "https://git.example/me/other.git", "path": "x"}}):
        assert list(told(agent(source=before), wish(), remote_body(Remote(url=URL), None, None))) == []


@pytest.mark.parametrize("before", [GIT, {"upload": "upl_0"}])
def test_another_repository_replaces_the_source_whole(before):
    """A ref or a secret of one repository means nothing in another."""
    other = remote_body(Remote(url="https://git.example/me/other.git"), None, None)
    body = changes(agent(source=before), wish(), other)
    assert body.model_dump(exclude_unset=True) == {"source": {"git": {"url": "https://git.example/me/other.git"}}}


def test_an_upload_replaces_a_repository():
    """A folder has none of what a repository has; what is replaced is said, with how to go back."""
    folder = SourceBody(upload="upl_1", label="bees")
    assert sent(agent(source=GIT), wish()) == {}
    assert list(told(agent(source=GIT, poll={"every_s": 300}), wish(), folder)) == [
        f"hello was made from {URL}, and is made from the folder bees now",
        f"to go back: skep deploy {URL} --name hello --ref v1 --path bees --git-secret KEY --poll 300s",
    ]
    assert list(told(agent(), wish(), folder)) == []


def test_the_next_command_names_the_inputs():
    """What the agent needs can be seen in what to type."""
    schema = {"type": "object", "properties": {"topic": {}, "n": {}}, "required": ["topic"]}
    assert next_command(agent(inputs_schema=schema), built=True) == "skep run hello --input topic=..."
    assert next_command(agent(), built=True) == "skep run hello"


def test_the_next_command_is_harmless():
    """Names of inputs come from a source that nobody vouches for."""
    shown = next_command(agent(inputs_schema={"properties": {"\x1b[2Jx; rm -rf /": {}}}), built=True)
    assert "\x1b" not in shown
    assert "'" in shown
