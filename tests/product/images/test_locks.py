"""Which files a source depends on: how it is asked, and how an answer is read with suspicion."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kernel.errors import InvalidError
from skep.product.gateway.model import LockedFile
from skep.product.images.environment import LOCKING
from skep.product.images.model import Install, Language, Recognised, SourceListing
from skep.product.images.planning import locks
from skep.product.images.planning.base import Base, Runtime
from skep.product.images.planning.locks import Lock, LockedSource, LockedWheel
from skep.product.images.planning.steps import LockStep, Reach

UV = "/opt/skep/bin/uv"
HASHED = ("--format", "pylock.toml", "--generate-hashes", "--quiet", "--output-file", "/tmp/pylock.toml")
PLATFORMS = ("manylinux_2_36_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64")
SHA = "ce284a76d5b1377fd8836733b983bfb0b76f1aa1c090de2566fcf008d7f6ab16"
OTHER = "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"
HEAD = 'lock-version = "1.0"\ncreated-by = "uv"\nrequires-python = ">=3.11"\n'


class Copies:
    """One copy of Python 3.13."""

    def pythons(self):
        """Return it."""
        return (Runtime(name="python", version="3.13.2", origin="uv's copy", facts="f", folder="/opt/python/c"),)

    def nodes(self):
        """Return none."""
        return ()


BASE = Base(
    fingerprint="debian", python="3.11.2", uv="0.13.8", platforms=PLATFORMS, machine="x86_64", runtimes=Copies()
)


def source(digest: str = "a" * 64, **texts: str) -> SourceListing:
    """Make a listing; `__` stands for a dot."""
    named = {name.replace("__", "."): text for name, text in texts.items()}
    return SourceListing(
        files={name: len(text) for name, text in named.items()},
        texts=named,
        digest=digest,
        hashes={name: f"hash of {text}" for name, text in named.items()},
    )


def recognised(install: Install, **changes) -> Recognised:
    """Make what a framework says."""
    return Recognised(framework="python", evidence=(), command=("python", "main.py"), install=install, **changes)


def step(listing: SourceListing, install: Install, base: Base = BASE, project: str = "prj_1", **changes) -> LockStep:
    """Return the step, which there is."""
    found = locks.lock_step(listing, recognised(install, **changes), base, project)
    assert found is not None
    return found


def test_requirements_are_resolved_beside_the_source():
    """The answer lands where uv writes it, for the machine's own Python."""
    found = step(source(requirements__txt="humanize\n"), Install.REQUIREMENTS)
    assert found == LockStep(
        key=found.key,
        steps=((UV, "pip", "compile", "requirements.txt", *HASHED),),
        env=LOCKING,
        answer="/tmp/pylock.toml",
        reach=Reach.PYTHON_INDEX,
        python="3.11.2",
    )
    assert LOCKING["UV_DEFAULT_INDEX"] == "http://127.0.0.1/pypi/simple"


def test_a_lock_is_exported_as_it_stands():
    """Uv resolves nothing; what is only for development stays away."""
    found = step(source(pyproject__toml='[project]\nname="x"\n', uv__lock=""), Install.UV_LOCK)
    frozen = ("--frozen", "--no-dev", "--no-emit-project", "--quiet")
    assert found.steps == ((UV, "export", *frozen, "--format", "pylock.toml", "--output-file", "/tmp/pylock.toml"),)


def test_what_a_framework_adds_is_resolved_around_a_lock():
    """The lock's own versions stay, since they are given as requirements of exactly these."""
    found = step(
        source(pyproject__toml='[project]\nname="x"\n', uv__lock=""),
        Install.UV_LOCK,
        requirements=("langgraph-cli>=1",),
    )
    frozen = ("--frozen", "--no-dev", "--no-emit-project", "--quiet")
    exported, added = "/tmp/skep-locked.txt", "/tmp/skep-requirements.txt"
    assert found.steps == (
        (UV, "export", *frozen, "--format", "requirements.txt", "--output-file", exported),
        (UV, "pip", "compile", exported, added, *HASHED),
    )
    assert found.files == {added: "langgraph-cli>=1\n"}


def test_further_files_are_read_where_they_lie():
    """What their lines mean is known to uv alone: what they lead to, their hashes, lines that go on in the next."""
    texts = {"lib/requirements.txt": "a", "-r/pyproject.toml": '[project]\nname="b"\ndependencies=["c"]\n'}
    files = tuple(texts)
    listing = source(pyproject__toml='[project]\nname="x"\n', uv__lock="", requirements__txt="a", **texts)
    same, other = replace(listing, digest="b" * 64), replace(listing, hashes=listing.hashes | {files[0]: "changed"})
    sources = ("./lib/requirements.txt", "./-r/pyproject.toml")
    for install, first in (
        (Install.NOTHING, ()),
        (Install.REQUIREMENTS, ("requirements.txt",)),
        (Install.PYPROJECT, ("pyproject.toml",)),
        (Install.UV_LOCK, ("/tmp/skep-locked.txt",)),
    ):
        found = step(listing, install, requirement_files=files)
        assert found.steps[-1] == (UV, "pip", "compile", *first, *sources, *HASHED)
        assert found.key == step(same, install, requirement_files=files).key
        assert found.key != step(other, install, requirement_files=files).key
    for text in ("-r more.txt", "./local"):
        leads = replace(listing, texts=listing.texts | {files[0]: text})
        one, two = (step(it, Install.NOTHING, requirement_files=files) for it in (leads, replace(leads, digest="c")))
        assert one.key != two.key
    unseen = ("deep/in/requirements.txt",)
    assert step(listing, Install.NOTHING, requirement_files=unseen).key != (
        step(same, Install.NOTHING, requirement_files=unseen).key
    )


def test_a_source_that_only_its_backend_knows():
    """It is given to uv as a package; any file of it may say what it needs. It is installed by its own layer."""
    listing = source(setup__py="setup()")
    found = step(listing, Install.PACKAGE)
    assert found.steps == ((UV, "pip", "compile", "/tmp/skep-requirements.txt", *HASHED),)
    assert found.files == {"/tmp/skep-requirements.txt": "-e .\n"}
    assert found.key != step(replace(listing, digest="b" * 64), Install.PACKAGE).key
    poetry = "[tool.poetry.dependencies]\na = {}\n[build-system]\n"
    for requirement, same in (('"^1"', True), ('{path = "libs/a"}', False)):
        one = source(pyproject__toml=poetry.format(requirement))
        keys = {step(it, Install.PYPROJECT).key for it in (one, replace(one, digest="b" * 64))}
        assert (len(keys) == 1) is same


def test_a_project_without_a_lock_for_a_copy_of_python():
    """The copy is no part of the sandbox: its version is given in words."""
    found = step(
        source(pyproject__toml='[project]\nname="x"\ndependencies=["a"]\n'), Install.PYPROJECT, requires_python=">=3.12"
    )
    assert found.steps == ((UV, "pip", "compile", "pyproject.toml", "--python-version", "3.13.2", *HASHED),)
    assert found.python == "3.13.2"


def test_where_there_is_nothing_to_find_out():
    """Nothing to install, or npm's to install."""
    assert locks.lock_step(source(main__py=""), recognised(Install.NOTHING), BASE, "prj_1") is None
    node = recognised(Install.NPM_LOCK, language=Language.NODE)
    assert locks.lock_step(source(package__json="{}"), node, BASE, "prj_1") is None
    # A framework may need something where the project does not.
    assert step(source(main__py=""), Install.NOTHING, requirements=("a",)).steps[0][3] == "/tmp/skep-requirements.txt"


def test_an_answer_counts_as_long_as_what_it_depends_on_stays():
    """Other files of the source are nothing to a plain list; the list, the project, the Python and the indexes are."""
    plain = source(main__py="1", requirements__txt="humanize\n")
    same = source(digest="b" * 64, main__py="2", requirements__txt="humanize\n")
    key = step(plain, Install.REQUIREMENTS).key
    assert step(same, Install.REQUIREMENTS).key == key
    others = {
        step(source(requirements__txt="humanize>=4\n"), Install.REQUIREMENTS).key,
        step(plain, Install.REQUIREMENTS, project="prj_2").key,
        step(plain, Install.REQUIREMENTS, Base(fingerprint="debian", python="3.12.0", uv="0.13.8")).key,
        step(plain, Install.REQUIREMENTS, replace(BASE, indexes=("https://own.example/simple",))).key,
        step(plain, Install.REQUIREMENTS, requirements=("x",)).key,
    }
    assert key not in others
    assert len(others) == 5


@pytest.mark.parametrize("line", ["-r more.txt", "-e .", "./wheel", "a @ file:///app/a", "a/b.whl"])
def test_a_list_that_leads_to_other_files_depends_on_the_whole_source(line: str):
    """Another file's change has it resolved anew."""
    one = step(source(requirements__txt=line), Install.REQUIREMENTS)
    two = step(source(digest="b" * 64, requirements__txt=line), Install.REQUIREMENTS)
    assert one.key != two.key


# ---- a lock that is not the project's

LOCK = """
version = 1
[[package]]
name = "my-agent"
version = "0.1"
source = { virtual = "." }
dependencies = [{ name = "humanize" }]
[package.metadata]
requires-dist = [
    { name = "humanize", specifier = "==4.9.0" },
    { name = "colorama", marker = "extra == 'x'" },
    { name = "here", directory = "libs/here" },
]
"""


def locked_project(*dependencies: str, lock: str = LOCK, more: str = "") -> SourceListing:
    """Make a project with a lock."""
    names = ", ".join(f'"{one}"' for one in dependencies)
    return source(pyproject__toml=f'[project]\nname="my_agent"\ndependencies=[{names}]\n{more}', uv__lock=lock)


@pytest.mark.parametrize(
    ("dependencies", "said"),
    [
        (("humanize==4.8.0", "here"), "humanize is asked for as `==4.8.0` and locked for `==4.9.0`"),
        (("humanize", "here"), "humanize is asked for as `any` and locked for `==4.9.0`"),
        (("humanize==4.9.0", "here", "Six"), "six is asked for and not locked"),
        (("here",), "humanize is locked and no longer asked for"),
    ],
)
def test_a_lock_that_does_not_match_is_told_by_name(dependencies: tuple[str, ...], said: str):
    """It is known before anything is fetched, and the message says what to do."""
    with pytest.raises(InvalidError, match=r"uv\.lock does not match") as caught:
        step(locked_project(*dependencies), Install.UV_LOCK)
    assert caught.value.code == "lock_mismatch"
    assert said in caught.value.message
    assert "uv lock" in (caught.value.hint or "")


def test_a_lock_of_another_project_is_told():
    """It has no entry for this one, whatever else is in it; of a workspace without a project nothing is known."""
    lock = 'version=1\n[[package]]\nname="other"\nsource={virtual="."}\n'
    with pytest.raises(InvalidError, match="another project's, without an entry for my_agent") as caught:
        step(locked_project(lock=lock), Install.UV_LOCK)
    assert caught.value.code == "lock_mismatch"
    assert "uv lock" in (caught.value.hint or "")
    workspace = source(pyproject__toml='[tool.uv.workspace]\nmembers=["a"]\n', uv__lock=lock)
    assert step(workspace, Install.UV_LOCK).steps[0][1] == "export"


LOCKED_A = '[[package]]\nname="my-agent"\nsource={{virtual="."}}\n[package.metadata]\nrequires-dist=[{}]\n'


def test_a_name_is_compared_once():
    """However long it is, and however many packages say that they are this one."""
    name = "a" * 200_000
    lock = '[[package]]\nname="x"\nsource={virtual="."}\n' * 40_000 + f'[[package]]\nname="{name}"\n'
    assert step(source(pyproject__toml=f'[project]\nname="{name}"\n', uv__lock=lock), Install.UV_LOCK).steps


@pytest.mark.parametrize(
    "listing",
    [
        locked_project("humanize==4.9.0", "here"),
        locked_project("Humanize == 4.9.0", "here @ file:///app/libs/here"),
        locked_project("anything", more='dynamic=["dependencies"]\n'),
        locked_project("humanize", lock='[[package]]\nname="My.Agent"\nsource={editable="libs/me"}\n'),
        locked_project("humanize", lock=LOCK.split("[package.metadata]", maxsplit=1)[0]),
        locked_project("humanize", lock="no toml ["),
        locked_project("humanize @@ nonsense"),
        locked_project("humanize >" + "1" * 5000),
        locked_project("humanize; " + "(" * 900 + "os_name=='x'" + ")" * 900),
        locked_project(*(f"a>{n}" for n in range(20_000))),
        locked_project("a", lock=LOCKED_A.format(",".join(f"{{name='a',specifier='>{n}'}}" for n in range(40_000)))),
        locked_project("a", lock=LOCKED_A.format(f"{{name='a',specifier='>{'1' * 5000}'}}")),
    ],
)
def test_a_lock_that_may_be_right_is_left_to_uv(listing: SourceListing):
    """Only what is surely wrong is refused here."""
    assert step(listing, Install.UV_LOCK).steps[0][1] == "export"


# ---- reading an answer


def package(name: str, lines: str) -> str:
    """Make one package of an answer."""
    return f'[[packages]]\nname = "{name}"\n{lines}\n'


def wheel(filename: str, digest: str = SHA, url: str = "https://files.pythonhosted.org/packages/aa/2b/") -> str:
    """Make the wheels of a package."""
    return f'wheels = [{{ url = "{url}{filename}", hashes = {{ sha256 = "{digest}" }} }}]'


def test_an_answer_is_split_into_wheels_and_what_runs_code():
    """Wheels are named by content; source distributions too, but they are built; the rest is as it is."""
    text = HEAD + "".join(
        (
            package("humanize", f'version = "4.9.0"\n{wheel("humanize-4.9.0-py3-none-any.whl")}'),
            package(
                "docopt",
                'version = "0.6.2"\nsdist = { url = "https://files.pythonhosted.org/packages/docopt-0.6.2.tar.gz", '
                f'hashes = {{ sha256 = "{OTHER}" }} }}',
            ),
            package("member", 'directory = { path = "../app/libs/a b", editable = true }'),
            package("vendored", 'directory = { path = "../app/vendor/x" }'),
            package(
                "fetched",
                'vcs = { type = "git", url = "https://git.lan/x.git", commit-id = "'
                + "c" * 40
                + '", subdirectory = "py" }',
            ),
            package(
                "packed",
                f'archive = {{ url = "https://host/p.zip", hashes = {{ sha256 = "{OTHER}" }}, subdirectory = "s" }}',
            ),
        )
    )
    assert locks.parse(text, BASE, "3.11.2") == Lock(
        wheels=(
            LockedWheel(
                name="humanize",
                version="4.9.0",
                file=LockedFile(
                    filename="humanize-4.9.0-py3-none-any.whl",
                    url="https://files.pythonhosted.org/packages/aa/2b/humanize-4.9.0-py3-none-any.whl",
                    sha256=SHA,
                ),
            ),
        ),
        sources=(
            LockedSource(name="docopt", requirement=f"docopt==0.6.2 --hash=sha256:{OTHER}", hashed=True),
            LockedSource(name="fetched", requirement=f"fetched @ git+https://git.lan/x.git@{'c' * 40}#subdirectory=py"),
            LockedSource(name="member", requirement="-e file:///app/libs/a%20b"),
            LockedSource(name="packed", requirement=f"packed @ https://host/p.zip#sha256={OTHER}&subdirectory=s"),
            LockedSource(name="vendored", requirement="vendored @ file:///app/vendor/x"),
        ),
    )


def test_the_file_that_fits_the_agents_python_is_taken():
    """Of many wheels it is that of the Python and the platform; without one it is the source distribution."""
    files = [f"a-1.0-{tag}.whl" for tag in ("cp312-cp312-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_17_x86_64")]
    many = ", ".join(f'{{ url = "https://x.lan/{one}", hashes = {{ sha256 = "{SHA}" }} }}' for one in files)
    sdist = f'sdist = {{ url = "https://x.lan/a-1.0.tar.gz", hashes = {{ sha256 = "{OTHER}" }} }}'
    text = HEAD + package("a", f'version = "1.0"\nwheels = [{many}]\n{sdist}')
    assert locks.parse(text, BASE, "3.11.2").wheels[0].file.filename == files[1]
    assert locks.parse(text, BASE, "3.12.9").wheels[0].file.filename == files[0]
    assert locks.parse(text, BASE, "3.13.0").sources == (
        LockedSource(name="a", requirement=f"a==1.0 --hash=sha256:{OTHER}", hashed=True),
    )


def test_markers_are_those_of_the_sandbox():
    """What is for other systems is left out."""
    other = f'marker = "sys_platform == \'win32\'"\nversion = "1"\n{wheel("a-1-py3-none-any.whl")}'
    mine = f'marker = "python_version == \'3.11\'"\nversion = "1"\n{wheel("b-1-py3-none-any.whl")}'
    assert [
        one.name for one in locks.parse(HEAD + package("a", other) + package("b", mine), BASE, "3.11.2").wheels
    ] == ["b"]


def test_an_address_at_the_door_is_the_index_own():
    """The door of a build was its index; the layer's own door fetches from the index itself."""
    door = f"http://127.0.0.1/pypi/files/sha256={SHA}/https/files.pythonhosted.org/packages/"
    text = HEAD + package("a", f'version = "1"\n{wheel("a-1-py3-none-any.whl", url=door)}')
    (found,) = locks.parse(text, BASE, "3.11.2").wheels
    assert found.file.url == "https://files.pythonhosted.org/packages/a-1-py3-none-any.whl"


def test_a_wheel_without_a_hash_is_private():
    """What is in it is not known before: no project shares it with another."""
    lines = 'version = "1"\nwheels = [{ url = "https://x.lan/a-1-py3-none-any.whl", hashes = { md5 = "00" } }]'
    assert locks.parse(HEAD + package("a", lines), BASE, "3.11.2") == Lock(
        sources=(LockedSource(name="a", requirement="a==1"),)
    )


@pytest.mark.parametrize(
    "lines",
    [
        'directory = { path = "../etc" }',
        'directory = { path = "/etc" }',
        'directory = { path = "../app/../home" }',
        'directory = { path = "../app/x", subdirectory = "../../etc" }',
        f'version = "1"\n{wheel("a-1-py3-none-any.whl", url="file:///etc/")}',
        f'version = "1"\n{wheel("a-1-py3-none-any.whl", url="https://me:secret@x.lan/")}',
        f'version = "1"\n{wheel("a-1-py3-none-any.whl", digest="xyz")}',
        f'version = "1"\n{wheel("b-1-py3-none-any.whl")}',
        f'version = "1"\n{wheel("a-1-cp27-cp27m-win32.whl")}',
        f'version = "1"\n{wheel("a-1-py3-none-any.whl")}\n{package("a", wheel("a-1-py3-none-any.whl"))}',
        'vcs = { type = "hg", url = "https://x.lan/a", commit-id = "' + "c" * 40 + '" }',
        'vcs = { type = "git", url = "https://x.lan/a", commit-id = "main" }',
        'vcs = { type = "git", url = "https://x.lan/a --index-url http://y", commit-id = "' + "c" * 40 + '" }',
        'archive = { url = "https://x.lan/a\\n--index-url http://y", hashes = { sha256 = "' + SHA + '" } }',
        'archive = { url = "https://x.lan/${HOME}", hashes = { sha256 = "' + SHA + '" } }',
        'marker = "' + "(" * 5000 + '"\nversion = "1"',
        "a." * 50_000 + "a = 1",
        'requires-python = ">=4"\nversion = "1"\n' + wheel("a-1-py3-none-any.whl"),
    ],
)
def test_an_answer_that_leads_astray_is_refused(lines: str):
    """Nothing of it comes to a command line, to another folder, or to the server's memory."""
    with pytest.raises(InvalidError) as caught:
        locks.parse(HEAD + package("a", lines), BASE, "3.11.2")
    assert caught.value.code == "lock_invalid"
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("place", ["name = ", "path = ", "url = "])
@pytest.mark.parametrize("dot", [".", "%2e"])
def test_a_name_of_a_wheel_that_stands_for_millions_is_refused(place: str, dot: str):
    """Its lists are multiplied by whoever reads it: 3 KB took minutes and gigabytes."""
    if dot == "%2e" and place != "url = ":
        return
    lists = ["".join(f"{mark}{dot}" for mark in "+~éÿ+~éÿ+~" * 8) + "z" for _ in range(3)]
    long = f'{place}"https://x.lan/a-1-{"-".join(lists)}.whl"'
    many = f'{place}"https://x.lan/a-1-{"-".join([dot.join("+~éÿ+~éÿ+~éÿ")] * 3)}.whl"'
    for wheels in ([long], [many] * 200):
        entries = ", ".join(f'{{ {one}, hashes = {{ sha256 = "{SHA}" }} }}' for one in wheels)
        with pytest.raises(InvalidError, match=r"no name of a file|kinds of machines") as caught:
            locks.parse(HEAD + package("a", f'version = "1"\nwheels = [{entries}]'), BASE, "3.11.2")
        assert caught.value.code == "lock_invalid"


def test_the_size_of_an_answer_is_bounded():
    """In characters, and in packages."""
    for text in ("#" * (locks.MAX_ANSWER + 1), HEAD + package("a", 'directory = { path = "../app" }') * 3001):
        with pytest.raises(InvalidError, match="more than"):
            locks.parse(text, BASE, "3.11.2")


_LINE = st.sampled_from(
    [
        'lock-version = "1.0"',
        'created-by = "uv"',
        "[[packages]]",
        'name = "a"',
        'version = "1"',
        wheel("a-1-py3-none-any.whl"),
        'directory = { path = "../app" }',
        "packages = 1",
        'marker = "os_name"',
        'requires-python = "x"',
        "sdist = {}",
        "wheels = [{}]",
        'vcs = { type = "git" }',
    ]
)


@given(st.one_of(st.text(max_size=200), st.lists(_LINE, max_size=12).map("\n".join)))
def test_any_text_is_a_lock_or_refused_in_one_way(text: str):
    """No answer makes the server fail otherwise."""
    with suppress(InvalidError):
        assert isinstance(locks.parse(text, BASE, "3.11.2"), Lock)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (
            "error: No solution found when resolving dependencies\n  cause: nosuch was not found",
            "dependencies_unresolvable",
        ),
        ("error: Couldn't parse requirement in `requirements.txt` at position 0", "dependencies_unresolvable"),
        ("error: Failed to parse: pyproject.toml\n  cause: `project.version` is not set", "project_invalid"),
        ("error: Failed to parse `uv.lock`\n  cause: TOML parse error", "lock_invalid"),
    ],
)
def test_why_it_could_not_be_found_out(words: str, code: str):
    """In the words of the user's own files, with uv's quoted."""
    failure = locks.failure(words)
    assert failure.code == code
    assert words.splitlines()[-1].strip().removeprefix("error: ") in failure.message
    assert failure.hint
