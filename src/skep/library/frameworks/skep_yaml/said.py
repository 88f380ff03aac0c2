"""What a `skep.yaml` says, and where each part of it stands."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from yaml import Node

from skep.library.frameworks.marked_yaml import YamlError, wrong
from skep.product.agents.model import AgentConfig
from skep.product.images.model import Declared, Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What `runtime` asks for: "python3.12" is Python, 3.12."""

    language: Language
    #: "3.12", "24"; "" means any.
    version: str = ""


@dataclass(slots=True, kw_only=True)
class Said:
    """What a file says so far; the readers of its keys fill it."""

    keys: tuple[str, ...] = ()
    config: AgentConfig = field(default_factory=AgentConfig)
    declared: Declared = field(default_factory=Declared)
    framework: str = ""
    runtime: Runtime | None = None
    #: None: not said.
    prepare: tuple[tuple[str, ...], ...] | None = None
    #: By the names that `check_config` gives to what is wrong.
    places: dict[str, Node] = field(default_factory=dict[str, Node])


class UnknownKeyError(YamlError):
    """A key that nobody knows: the one error whose author needs the list of keys."""

    #: The keys that there are, as a sentence.
    keys = ""


def unknown(key: Node, name: str, known: Iterable[str], where: str = "") -> UnknownKeyError:
    """Return the error about a key that nobody knows; a near miss is told."""
    names = list(known)
    meant = f"; did you mean `{near}`?" if (near := nearest(name, names)) else f"; expected one of {', '.join(names)}"
    at = wrong(key, f"unknown key `{name[:80]}`{where}{meant}")
    error = UnknownKeyError(at.message, at.line, at.column)
    error.keys = f"The keys{where} are {', '.join(names)}."
    return error


def nearest(word: str, known: Iterable[str]) -> str:
    """Return which of the *known* words was probably meant; "" if none."""
    close = get_close_matches(word[:80].lower(), list(known), 1, 0.7)
    return close[0] if close else ""
