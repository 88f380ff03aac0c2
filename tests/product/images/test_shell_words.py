"""Commands that look as if a shell were to read them."""

import pytest
from listings import found

from skep.product.images.planning import shell_words


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (("make", "&&", "./run"), "&&"),
        (("cat", "x", "|", "sort"), "|"),
        (("python", "main.py", ">", "out"), ">"),
        (("python", "main.py", "2>/dev/null"), "2>/dev/null"),
        (("python", "main.py", "2>&1"), "2>&1"),
        (("cd", "x;", "python", "main.py"), "x;"),
        (("cd", "x", ";", "python", "main.py"), ";"),
        (("python", "main.py", "$TOPIC"), "$TOPIC"),
        (("python", "main.py", "--key=${KEY}"), "--key=${KEY}"),
        (("LANG=C", "python", "main.py"), "LANG=C"),
        (("python", "main.py", "&"), "&"),
    ],
)
def test_words_of_a_shell(command, word):
    """The first is told, and how a shell is had."""
    said = shell_words.notice(command)
    assert f"so {word!r} is taken as it stands" in said
    assert said.endswith(f"sh -c '{' '.join(command)}'")


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("python", "main.py", "--level=3", "a=b"),
        ("sh", "-c", "make && ./run > $OUT"),
        ("/bin/bash", "-c", "cat x | sort", "|"),
        ("python", "-c", "import sys; print(sys.argv, '$HOME')"),
        ("python", "-c", "print(1);"),
        ("grep", "a|b", "<html>", ">=1", "a & b", "$", "$1"),
        ("env", "LANG=C", "python"),
    ],
)
def test_what_is_no_shells(command):
    """A shell of its own, code, and what only has such characters in it."""
    assert shell_words.notice(command) == ""


def test_it_is_said_whoever_gave_the_command():
    """The owner, or `skep.yaml`; that of `prepare`, too."""
    assert "'&&' is taken as it stands" in found({"main.py": ""}, ("a", "&&", "b")).notices[-1]
    assert "'|' is taken as it stands" in found({"skep.yaml": "command: a | b"}).notices[-1]
    assert "'$X' is taken as it stands" in found({"main.py": "", "skep.yaml": "prepare: make $X"}).notices[-1]


def test_of_a_long_word_the_beginning_is_told():
    """As of the command that it is in."""
    for word in ("a" * 50_000 + "$A", "A=" + "a" * 50_000):
        assert len(shell_words.notice((word, "|"))) < 500
