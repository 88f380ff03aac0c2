"""The command's own manners, for which no server is needed."""

import os
import signal
import subprocess
import sys

from skep.edge.cli import exits


def skep(*arguments: str, **more) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    argv = (sys.executable, "-m", "skep.edge.cli", *arguments)
    return subprocess.run(argv, capture_output=True, text=True, check=False, **more)


def test_nothing_is_removed_unasked():
    """Where nobody can be asked the question is not answered by itself: `--yes` must be there, whatever comes in."""
    for arguments in (("remove", "bee"), ("remove", "bee", "--json")):
        done = skep(*arguments, input="y\n")
        assert done.returncode == exits.USAGE
        assert "--yes" in done.stderr


def test_an_early_interrupt_is_quiet():
    """Ctrl-C while the command is still being loaded ends it with 130 and without a word."""
    process = subprocess.Popen(
        (sys.executable, "-X", "importtime", "-m", "skep.edge.cli", "secret", "set", "NAME"),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    # Python names each module that it has loaded; most are still to come.
    while "typer" not in (line := process.stderr.readline()):
        assert line, "it ended"
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert [line for line in rest.splitlines() if not line.startswith("import time:")] == []
    assert process.returncode == exits.CANCELLED


def test_what_is_plainly_wrong_is_refused_before_anything_is_sent(tmp_path):
    """An empty option, a command with an open quote, a name that no agent may have: no server is asked."""
    for arguments, code, words in (
        (("--name", ""), exits.USAGE, "--name is empty"),
        (("--git-secret", ""), exits.USAGE, "--git-secret is empty"),
        (("--command", "python '"), exits.USAGE, "quotation"),
        (("--name", "Bad_Name"), exits.INVALID, "lower-case letters"),
    ):
        done = skep("--url", "http://127.0.0.1:9", "deploy", str(tmp_path), *arguments)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr


def test_a_verb_loads_no_library():
    """What recognises sources is the server's: a command that only calls it does not wait for that to be loaded."""
    said = "import sys, skep.edge.cli.command; print([one for one in sys.modules if one.startswith('skep.library')])"
    done = subprocess.run((sys.executable, "-c", said), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_upgrade_without_a_build_is_refused_before_anything_is_sent():
    """Nothing that the option asks for would happen."""
    for other in ("--explain", "--no-build"):
        done = skep("--url", "http://127.0.0.1:9", "deploy", "https://git.example/agent.git", "--upgrade", other)
        assert done.returncode == exits.USAGE
        assert "--upgrade is for a build" in done.stderr


def test_what_cannot_be_polled_so_often_is_refused_before_anything_is_sent():
    """In the option's words: no server is there that could name a field."""
    for said in ("5s", "0", "31d"):
        done = skep("--url", "http://127.0.0.1:9", "deploy", "https://git.example/agent.git", "--poll", said)
        assert done.returncode == exits.USAGE
        assert f"--poll {said}: at least 30s" in done.stderr


def test_an_empty_ref_clears_only_what_a_repository_has(tmp_path):
    """For a folder it is a variable of a script that was empty."""
    done = skep("deploy", str(tmp_path), "--ref", "")
    assert done.returncode == exits.USAGE
    assert "--ref is empty" in done.stderr


def test_an_empty_folder_is_named(tmp_path):
    """Nothing is sent, and nothing is told to be checked that was not given."""
    (tmp_path / "bees").mkdir()
    environment = os.environ | {"SKEP_TOKEN": "skep_x"}  # noqa: TID251  the command's own
    done = skep("--url", "http://127.0.0.1:9", "deploy", str(tmp_path / "bees"), env=environment)
    assert done.returncode == exits.INVALID
    assert "bees is empty" in done.stderr
    assert "--path" not in done.stderr
