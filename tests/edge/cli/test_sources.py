"""What `skep deploy` was given."""

import subprocess
from pathlib import Path

import pytest

from skep.edge.cli.sources import Local, Remote, checkout, name_for, recognise, remote_body
from skep.kernel.errors import InvalidError


@pytest.fixture
def repository(tmp_path):
    """A repository with a branch, a tag and a hook that must not run."""
    made = tmp_path / "my_agent"
    made.mkdir()

    def git(*argv):
        subprocess.run(
            ("git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(made), *argv),
            check=True,
            capture_output=True,
        )

    git("init", "-q", "-b", "main")
    for text, tag in (("one", "v1"), ("two", "v2")):
        (made / "main.py").write_text(text)
        git("add", ".")
        git("commit", "-qm", text)
        git("tag", tag)
    git("branch", "old", "v1")
    return made


def test_urls_are_the_servers_business():
    """Https and ssh go to the API as they are, the short form of ssh written out."""
    assert recognise("https://h/me/agent.git", None) == Remote(url="https://h/me/agent.git")
    assert recognise("git@h:me/agent.git", None) == Remote(url="ssh://git@h/me/agent.git")
    body = remote_body(Remote(url="https://h/a.git"), "v1", "sub")
    assert body.model_dump(exclude_unset=True) == {"git": {"url": "https://h/a.git", "ref": "v1", "path": "sub"}}


def test_folders_and_local_repositories_are_read_here(tmp_path):
    """A folder is packed as it is; file:// and a ref mean its committed state."""
    assert recognise(str(tmp_path), None) == Local(folder=tmp_path)
    assert recognise(str(tmp_path), "main") == Local(folder=tmp_path, clone=True)
    assert recognise(f"file://{tmp_path}", None) == Local(folder=tmp_path, clone=True)


def test_what_is_neither_is_refused():
    """With a word on what could be given."""
    with pytest.raises(InvalidError) as caught:
        recognise("./no-such-folder", None)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://h/me/My_Agent.git", "my-agent"),
        ("git@h:agent.git", "agent"),
        ("/srv/agents/Bee Hive/", "bee-hive"),
        ("./x" + "y" * 80, "x" + "y" * 62),
    ],
)
def test_names_come_from_sources(text, name):
    """An agent is called like its folder or repository, as a DNS label."""
    assert name_for(text) == name


@pytest.mark.parametrize(("ref", "text"), [(None, "two"), ("v1", "one"), ("old", "one"), ("main", "two")])
def test_a_ref_is_checked_out(repository, ref, text):
    """Branches, tags and the default; what was not committed is not part of it."""
    (repository / "main.py").write_text("dirty")
    with checkout(Local(folder=repository, clone=True), ref) as (folder, label):
        assert (folder / "main.py").read_text() == text
        assert label.startswith("my_agent@")
        copy: Path = folder
    assert not copy.exists()


@pytest.mark.parametrize("ref", ["nope", "--help", "-x", "v1; rm -rf /"])
def test_an_unknown_ref_is_said(repository, ref):
    """And never taken for an option."""
    with pytest.raises(InvalidError) as caught, checkout(Local(folder=repository, clone=True), ref):
        pass
    assert caught.value.code == "unknown_ref"
