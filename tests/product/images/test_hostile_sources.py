"""Whatever strangers write in the files of a source: it is built, or refused in words about the source."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listings import listing
from plans import BASE

from skep.kernel.errors import InvalidError, TooLargeError
from skep.library.frameworks import load
from skep.product.images.failures import BuildFailedError
from skep.product.images.planning import locks
from skep.product.images.planning.locks import Lock
from skep.product.images.planning.planner import plan_build
from skep.product.images.planning.recognising import recognise

FRAMEWORKS = load([])
DIGITS, DEEP = "1" * 5000, "(" * 3000 + "os_name=='x'" + ")" * 3000
#: Parts of values that some parser has stumbled over.
ODD = st.sampled_from(
    [
        *(
            f">{DIGITS}",
            f"=={DIGITS}.*",
            "3.11rc1",
            "==3.11rc1.*",
            "3.11+local",
            f"1!{DIGITS}",
            "\ud800",
            "\0",
            "٣",
            "²",
        ),
        *(
            "a",
            "a>1",
            f"a>{DIGITS}",
            f"a; {DEEP}",
            "a @ https://[",
            "-e .",
            "-r x",
            "--hash=sha256:0",
            "../x",
            "[" * 50,
        ),
        *("{a}", "{{", "&a *a", "!!int x", "? :", "- -", "1e999", DIGITS, "0x_", "2020-99-99", "true", "null"),
    ]
)
WORDS = st.one_of(ODD, st.text(max_size=12))
VALUES = st.one_of(
    WORDS.map(lambda text: "'" + text.replace("'", "").replace("\n", "") + "'"), ODD, st.just("[]"), st.just("{}")
)
KEYS = st.sampled_from(
    [
        *("name", "requires-python", "dependencies", "dynamic", "scripts", "version", "package-mode", "packages"),
        *("a", "python", "specifier", "source", "marker", "requires-dist", "metadata", "type", "definition"),
    ]
)
HEADERS = st.sampled_from(
    [
        *("[project]", "[project.scripts]", "[build-system]", "[tool.poetry]", "[tool.poetry.dependencies]", "[tool]"),
        *(
            "[tool.crewai]",
            "[tool.uv]",
            "[tool.uv.sources]",
            "[[package]]",
            "[package.metadata]",
            "[dependency-groups]",
        ),
        "[project.optional-dependencies]",
    ]
)
LINES = st.one_of(
    HEADERS,
    st.builds("{} = {}".format, KEYS, VALUES),
    st.builds("{} = [{}]".format, KEYS, VALUES),
    st.builds("{}: {}".format, KEYS, WORDS),
    st.builds('"{}": "{}",'.format, KEYS, WORDS),
    WORDS,
)
TEXTS = st.one_of(
    st.lists(LINES, max_size=8).map("\n".join),
    st.builds('[project]\nname = "x"\ndependencies = ["{}"]\nrequires-python = "{}"'.format, WORDS, WORDS),
    st.builds(
        '{{"graphs": {{"a": "./main.py:{}"}}, "dependencies": ["{}"], "engines": {{"node": "{}"}}}}'.format,
        *(WORDS, WORDS, WORDS),
    ),
    st.builds("command: {}\nruntime: {}\ninputs: {}".format, WORDS, WORDS, WORDS),
)
FILES = st.sampled_from(
    [
        *("pyproject.toml", "uv.lock", "requirements.txt", ".python-version", "langgraph.json", "package.json"),
        *("skep.yaml", "setup.cfg", "setup.py", "Pipfile", "Dockerfile", "requirements/base.txt", "x/pyproject.toml"),
        *("package-lock.json", "src/x/config/agents.yaml", "src/x/config/tasks.yaml", "main.py"),
    ]
)
COMMANDS = st.sampled_from([(), ("python", "a.py"), ("node", "x.js"), ("sh", "x")])


def planned(files, command=()):
    """Do what a build does before it begins to make anything."""
    seen = listing(files)
    # What the plan itself looks into comes with every listing.
    seen = replace(seen, texts=files, hashes=dict.fromkeys(files, "0"))
    made = recognise(seen, FRAMEWORKS, command)
    step = locks.lock_step(seen, made, BASE, "prj_1")
    return plan_build(seen, made, Lock() if step else None, BASE, "prj_1")


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(FILES, TEXTS, max_size=5), COMMANDS)
def test_any_source_is_planned_or_refused(files, command):
    """Any other error would be taken for the server's, and the build be tried again and again."""
    with suppress(InvalidError, TooLargeError, BuildFailedError):
        assert planned(files, command).layers


@pytest.mark.parametrize(
    "files",
    [
        {"main.py": "", "requirements.txt": "a", ".python-version": DIGITS},
        {"main.py": "", "pyproject.toml": f'[project]\nname = "x"\nrequires-python = ">{DIGITS}"\n'},
        {"main.py": "", "requirements.txt": "a", ".python-version": "3.11+local"},
    ],
)
def test_what_was_once_taken_for_the_servers_fault(files):
    """Each is told as the source's."""
    with pytest.raises(InvalidError):
        planned(files)


@pytest.mark.parametrize("requirement", [f"a; {DEEP}", f"a>{DIGITS}"])
def test_a_requirement_that_only_uv_may_judge(requirement):
    """Nothing is said against it here."""
    project = f'[project]\nname = "x"\ndependencies = ["{requirement}"]\n'
    lock = '[[package]]\nname = "x"\nsource = {virtual = "."}\n[package.metadata]\nrequires-dist = []\n'
    assert planned({"main.py": "", "pyproject.toml": project, "uv.lock": lock}).layers
