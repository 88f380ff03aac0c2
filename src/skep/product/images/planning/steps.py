"""What a build will do, as values: layer upon layer, each made by commands in a fresh sandbox that has those below."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from skep.product.gateway.model import LockedFile
from skep.product.images.model import LayerKind, Recognised
from skep.product.sandboxes.model import LayerId


class Reach(StrEnum):
    """Where the door of a sandbox leads while a layer is made."""

    NOTHING = "nothing"
    #: The locked files of the layer and nothing else, by their hashes.
    LOCKED = "locked"
    #: The package indexes of Python.
    PYTHON_INDEX = "python_index"
    #: The registry of npm.
    NPM = "npm"
    #: Where uv finds its copies of Python.
    PYTHON_COPIES = "python_copies"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """One layer: how it is made, and under which key it is kept."""

    id: LayerId
    kind: LayerKind
    #: For people: "57 packages for Python 3.11".
    about: str
    #: Folders that are sealed.
    paths: tuple[str, ...]
    #: Commands, as argv; none for the source, which is there already.
    steps: tuple[tuple[str, ...], ...] = ()
    #: What the log says of steps that tell people little as argv: "Compiling Python files."
    words: Mapping[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])
    #: Their environment, over `environment.BASE`.
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Absolute path inside -> text: put in before the first command.
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    reach: Reach = Reach.NOTHING
    #: What the door hands out with `Reach.LOCKED`.
    locked: tuple[LockedFile, ...] = ()
    #: The agent may change its own copy.
    writable: bool = False
    #: Only what the commands changed over the layers below is sealed.
    changes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """What a build will do: a value made by a pure function, compared exactly in tests."""

    recognised: Recognised
    #: "Python 3.11.2 (the machine's)", ...
    runtimes: tuple[str, ...]
    #: Lowest first; the key of each says all that it depends on, those below included.
    layers: tuple[LayerPlan, ...]
    #: How many packages come from hash-checked wheels.
    shared: int = 0
    #: Names of packages that run code when they are installed.
    private: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockStep:
    """How it is found out which files exactly a source depends on: commands beside the source, and where they write."""

    #: What the answer depends on; an answer is kept and used again as long as this stays the same.
    key: str
    steps: tuple[tuple[str, ...], ...]
    env: Mapping[str, str]
    #: Absolute path of the file (pylock.toml, PEP 751) that the last command writes.
    answer: str
    reach: Reach
    #: Version of the Python that the answer is for: "3.11.2".
    python: str
    #: Absolute path inside -> text: put in before the first command.
    files: Mapping[str, str] = field(default_factory=dict[str, str])
