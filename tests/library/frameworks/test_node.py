"""How Node projects are recognised, TypeScript too, and what is said of wrong ones."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listings import found

from skep.kernel.errors import InvalidError
from skep.product.images.model import Install, Language

BUILD = ("npm", "run", "build")


def node(files=(), **package):
    """Recognise a source with this package.json and these files beside it."""
    texts = {"package.json": json.dumps(package)} | dict.fromkeys(files, "")
    return found(texts)


def test_a_script_start():
    """It is run by npm, saying nothing of its own; the lock decides what is installed, engines the Node."""
    made = node(
        ["package-lock.json", "main.js"],
        scripts={"start": "node main.js", "build": "docker build ."},
        engines={"node": ">=20"},
        dependencies={"marked": "^18"},
    )
    assert (made.framework, made.language, made.requires_node) == ("node", Language.NODE, ">=20")
    assert (made.command, made.install) == (("npm", "run", "--silent", "start"), Install.NPM_LOCK)
    assert (made.evidence, made.prepare) == (("script start of package.json", "package-lock.json"), ())


@pytest.mark.parametrize(
    ("package", "files", "command", "evidence"),
    [
        ({"bin": "./cli.js"}, ["cli.js"], "cli.js", "bin of package.json"),
        ({"name": "@me/b", "bin": {"a": "a.js", "b": "b.js"}}, ["a.js", "b.js"], "b.js", "bin b of package.json"),
        ({"bin": {"a": "a.js", "b": "b.js"}}, ["a.js", "b.js"], "a.js", "bin a of package.json"),
        ({"main": "lib/index.mjs"}, ["lib/index.mjs"], "lib/index.mjs", "main of package.json"),
        ({"main": "./lib"}, ["lib/index.js"], "lib/index.js", "main of package.json"),
        ({"main": "app"}, ["app.js"], "app.js", "main of package.json"),
        ({"main": "gone.js"}, ["index.js"], "index.js", "index.js beside package.json"),
        ({}, ["index.mjs"], "index.mjs", "index.mjs beside package.json"),
        ({}, ["src/index.ts"], "src/index.ts", "src/index.ts beside package.json"),
    ],
)
def test_what_is_started_without_a_script(package, files, command, evidence):
    """`bin`, `main`, or a file with a usual name; Node itself strips types."""
    made = node(files, **package)
    assert (made.command, made.evidence, made.install) == (("node", command), (evidence,), Install.NOTHING)
    assert made.prepare == ()


def test_typescript_with_a_build_is_built():
    """So is whatever makes the file that is started."""
    assert node(["tsconfig.json"], scripts={"start": "node dist/a.js", "build": "tsc"}).prepare == (BUILD,)
    assert node(scripts={"start": "x", "build": "tsc"}, devDependencies={"typescript": "5"}).prepare == (BUILD,)
    made = node(["src/index.ts"], main="dist/index.js", scripts={"build": "tsc"})
    assert (made.command, made.prepare) == (("node", "dist/index.js"), (BUILD,))
    assert node(["tsconfig.json"], scripts={"start": "node main.ts"}).prepare == ()


@pytest.mark.parametrize(
    ("start", "built"),
    [
        ("node out.js", True),
        ("node ./dist/a.js --port 80", True),
        ("NODE_ENV=production node --env-file .env -r dotenv/config --enable-source-maps dist/a", True),
        ("node main.js", False),
        ("node ./main", False),
        ("node lib", False),
        ("node .", False),
        ("node", False),
        ("node -r", False),
        ("node -e '1'", False),
        ("node ../out.js", False),
        ("node /opt/out.js", False),
        ("node 'out.js", False),
        ("serve out.js", False),
        ("cd packages && node out.js", False),
        ("", False),
    ],
)
def test_a_start_that_names_a_file_which_the_build_makes(start, built):
    """The build runs if the source has no such file; what a shell or another program makes of a script is theirs."""
    made = node(["main.js", "lib/index.js"], scripts={"start": start, "build": "node make.js"})
    assert made.command == ("npm", "run", "--silent", "start")
    assert made.prepare == ((BUILD,) if built else ())
    assert node(["main.js", "lib/index.js"], scripts={"start": start}).prepare == ()


def test_dependencies_without_a_lock_are_npms_to_choose():
    """A lock of another program is refused with what to do instead; without dependencies it does not matter."""
    assert node(["index.js"], dependencies={"a": "1"}).install is Install.NPM
    for lock, name in (("yarn.lock", "Yarn"), ("pnpm-lock.yaml", "pnpm"), ("bun.lock", "Bun")):
        with pytest.raises(InvalidError, match=name) as caught:
            node(["index.js", lock], dependencies={"a": "1"})
        assert caught.value.code == "lock_unsupported"
        assert "npm install --package-lock-only" in caught.value.hint
    assert node(["index.js", "yarn.lock"]).install is Install.NOTHING
    assert node(["index.js", "yarn.lock", "package-lock.json"], dependencies={"a": "1"}).install is Install.NPM_LOCK


def test_workspaces_are_installed():
    """Their root may depend on nothing itself: npm links them, and installs what they need."""
    for workspaces in (["packages/*"], {"packages": ["packages/*"]}):
        assert node(["index.js"], workspaces=workspaces).install is Install.NPM
    assert node(["index.js"], workspaces=[]).install is Install.NOTHING
    with pytest.raises(InvalidError, match=r"yarn\.lock"):
        node(["index.js", "yarn.lock"], workspaces=["packages/*"])


@pytest.mark.parametrize("script", ["preinstall", "install", "postinstall", "prepare"])
def test_scripts_that_run_while_npm_installs(script):
    """They run without dependencies, too; other scripts, and the lock of another program, install nothing."""
    assert node(["index.js", "yarn.lock"], scripts={script: "node make.js"}).install is Install.NPM
    assert node(["index.js", "package-lock.json"], scripts={script: "x"}).install is Install.NPM_LOCK
    assert node(["index.js", "yarn.lock"], scripts={"test": "x", "postinstal": "x"}).install is Install.NOTHING


def test_a_package_with_nothing_to_start_is_none_of_these():
    """A tool of another project, say; what was looked for is told."""
    with pytest.raises(InvalidError) as caught:
        node(scripts={"lint": "eslint"})
    assert caught.value.code == "nothing_recognised"
    assert "a script `start`, `bin` or `main`" in caught.value.hint


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ({"scripts": []}, "`scripts` is a list; expected an object"),
        ({"scripts": {"start": 3}}, "`scripts.start` is a number; expected a text"),
        ({"main": 3}, "`main` is a number; expected a text"),
        ({"main": "../a.js"}, "`main` is '../a.js'; expected a file of the source"),
        ({"bin": {"a": "/bin/sh"}}, "`bin.a` is '/bin/sh'; expected a file of the source"),
        ({"engines": {"node": 22}}, "`engines.node` is a number; expected a text"),
        ({"dependencies": "a"}, "`dependencies` is a text; expected an object"),
        ({"name": None}, "`name` is null; expected a text"),
    ],
)
def test_wrong_members(package, words):
    """Each is told, with what is expected."""
    with pytest.raises(InvalidError) as caught:
        node(["index.js"], **package)
    assert caught.value.code == "project_invalid"
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,}', r"package.json is wrong: line 1, column \d+: "),
        ("", "line 1, column 1"),
        ("[" * 200_000, "nested too deeply"),
        ("null", "it holds null; expected an object"),
    ],
)
def test_what_is_no_json(text, words):
    """With line and column where there are some."""
    with pytest.raises(InvalidError, match=words):
        found({"package.json": text})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("22", "22"),
        ("v22.3.0\n", "22"),
        ("# ours\n\n20.11 # old\n", "20"),
        ("node-v22", "22"),
        ("lts/iron", "20"),
        ("lts/*", ""),
        ("lts/none", ""),
        ("node", ""),
        ("system", ""),
        ("", ""),
        ("9" * 5000, ""),
    ],
)
def test_a_node_that_a_file_names(text, line):
    """The line of the release is taken, for of each line there is one; `engines` goes over it."""
    for file in (".nvmrc", ".node-version"):
        made = found({"package.json": "{}", "index.js": "", file: text})
        assert made.requires_node == line
        assert (file in made.evidence) == bool(line)
        assert found({"x.js": "", file: text}, ("node", "x.js")).requires_node == line
        made = found({"package.json": '{"engines": {"node": ">=24"}}', "index.js": "", file: text})
        assert (made.requires_node, made.evidence) == (">=24", ("index.js beside package.json",))


def test_of_two_files_that_name_a_node_the_first_counts():
    """.nvmrc before .node-version, if it says one."""
    files = {"package.json": "{}", "index.js": "", ".node-version": "22"}
    assert found(files | {".nvmrc": "24"}).requires_node == "24"
    assert found(files | {".nvmrc": "lts/*"}).evidence == ("index.js beside package.json", ".node-version")


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["name", "main", "bin", "scripts", "engines", "dependencies"]),
        st.none() | st.integers() | st.text(max_size=9) | st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
    )
    | st.text(max_size=30)
)
def test_any_file_ends_in_a_value_or_in_words(package):
    """Nothing that a stranger writes comes out as another error."""
    text = package if isinstance(package, str) else json.dumps(package)
    told = "project_invalid"
    try:
        assert found({"package.json": text, "index.js": ""}).language is Language.NODE
    except InvalidError as error:
        told = error.code
    assert told == "project_invalid"
