"""What the documentation shows is what happens.

A block marked `console` is run: a line after `$ ` is a command, lines after `> ` continue it. All blocks of a page
share one shell and one installation. A command must end with 0. If output is shown, the real one must be the same:
`...` in a line stands for anything, a line of only `...` for any lines, and spaces are not counted.
`http://127.0.0.1:8080` is the installation's address. Blocks marked `sh` are for reading: what starts or changes a
machine. Blocks of data are parsed.
"""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
from dataclasses import dataclass, field

import pytest
import yaml
from documentation import ROOT, pages

from skep.testing.installation import installation

ADDRESS = "http://127.0.0.1:8080"
#: Examples whose packages are some hundred megabytes.
HEAVY = ("crewai", "langgraph", "openai-agents")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What a block may be marked as, and what reads it.
_READERS = {
    **dict.fromkeys(("", "console", "mermaid", "sh", "text"), str),
    "json": json.loads,
    "python": lambda text: compile(text, "example", "exec", dont_inherit=True),
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}


@dataclass(slots=True)
class Example:
    """A command, and the output that is shown for it."""

    command: str
    shown: list[str] = field(default_factory=list)


def examples(text):
    """Return the commands of all console blocks, in order."""
    found = []
    for kind, block in _FENCE.findall(text):
        for line in block.splitlines() if kind == "console" else ():
            if line.startswith("$ "):
                found.append(Example(line[2:]))
            elif line.startswith("> ") and not found[-1].shown:
                found[-1].command += "\n" + line[2:]
            else:
                found[-1].shown.append(line)
    return found


def script(commands):
    """Return a shell script that marks where each command's output ends, and stops at the first that fails."""
    lines = ["shopt -s expand_aliases"]
    for command in commands:
        lines += ["{", command, "} </dev/null 2>&1", "code=$?", r"printf '\036%d\036' $code", "[ $code = 0 ] || exit 0"]
    return "\n".join(lines) + "\n"


def pattern(shown):
    """Return what the real output has to match."""
    lines = []
    for line in shown:
        words = [".*".join(map(re.escape, word.split("..."))) for word in line.split()]
        lines.append(r"(?:.*\n)*?" if line.strip() == "..." else " ".join(words).rstrip() + r"\n")
    return "".join(lines)


def plain(output):
    """Return *output* with single spaces and without empty lines around it."""
    return "\n".join(" ".join(line.split()) for line in output.strip().splitlines()) + "\n"


def shown(page):
    """Return a page as a parameter; pages whose examples have hundreds of megabytes of packages are slow."""
    heavy = page.startswith(tuple(f"examples/{name}/" for name in HEAVY))
    return pytest.param(page, marks=pytest.mark.slow) if heavy else page


def run(found, skep):
    """Run *found* in one shell; say of each whether it ended well and printed what is shown."""
    commands = [example.command.replace(ADDRESS, skep.url) for example in found]
    scripts = sysconfig.get_path("scripts")
    environment = {
        **skep.environment,
        "SKEP_DATA_DIR": str(skep.settings.data_dir),
        "PATH": f"{scripts}:{os.environ['PATH']}",  # noqa: TID251  a shell's environment
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        ["bash", "-c", script(commands)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    *pieces, rest = done.stdout.split("\036")
    assert len(pieces) == 2 * len(found), f"{found[len(pieces) // 2 - 1].command} failed:\n{done.stdout[-3000:]}{rest}"
    for example, output, code in zip(found, pieces[::2], pieces[1::2], strict=True):
        assert code == "0", f"{example.command} ended with {code}:\n{output}"
        if example.shown:
            assert re.fullmatch(pattern(example.shown), plain(output)), f"{example.command} printed:\n{output}"


@pytest.mark.parametrize("page", pages())
def test_every_block_says_what_it_is(page):
    """Data parses, Python compiles, and no block has a mark that nothing looks at."""
    for kind, block in _FENCE.findall((ROOT / page).read_text()):
        assert kind in _READERS, f"{page}: {kind}"
        _READERS[kind](block)


def test_output_is_compared_strictly():
    """`...` stands for anything and only for that; what is not shown must not be printed."""
    shown = ["run run_...", "...", "NAME  STATUS", "bee   ready"]

    assert re.fullmatch(pattern(shown), plain("run run_01x\nmany\nlines\nNAME STATUS\nbee    ready\n"))
    assert not re.fullmatch(pattern(shown), plain("run run_01x\nNAME STATUS\nbee ready\nmore\n"))
    assert not re.fullmatch(pattern(shown), plain("run run_01x\nNAME STATUS\nbee broken\n"))


@pytest.mark.root
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [shown(page) for page in pages() if examples((ROOT / page).read_text())])
def test_examples_do_what_they_show(name):
    """Every console block of a page, in order, on a fresh installation."""
    if os.geteuid() != 0 and not os.environ.get("CI"):  # noqa: TID251  how CI says so
        pytest.skip("needs root and runc")
    assert shutil.which("curl"), "the examples call curl: apt-get install -y curl"
    with installation() as skep:
        run(examples((ROOT / name).read_text()), skep)
