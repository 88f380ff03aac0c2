"""The text of a `skep.yaml` becomes what it says."""

from skep.kernel.errors import InvalidError
from skep.library.frameworks import marked_yaml
from skep.library.frameworks.marked_yaml import YamlError
from skep.library.frameworks.skep_yaml.keys import KEYS
from skep.library.frameworks.skep_yaml.said import Said, UnknownKeyError, unknown

FILE = "skep.yaml"
_PAGE = "docs/skep-yaml.md"


def parse(text: str) -> Said:
    """Read the file's text.

    Raises:
        YamlError: it is wrong, at a place.
    """
    root = marked_yaml.compose(text)
    said = Said()
    if root is None:
        return said
    found = marked_yaml.members(root, "the file")
    for name, (key, _) in found.items():
        if name not in KEYS:
            raise unknown(key, name, KEYS)
    for name, (_, node) in found.items():
        KEYS[name].read(said, node)
    said.keys = tuple(found)
    return said


def invalid(error: YamlError) -> InvalidError:
    """Return what the author of a wrong file is told."""
    end = "" if error.message.endswith("?") else "."
    where = f"{FILE}, line {error.line}, column {error.column}"
    hint = f"{error.keys} See {_PAGE}." if isinstance(error, UnknownKeyError) else f"See {_PAGE}."
    return InvalidError(f"{where}: {error.message}{end}", code="skep_yaml_invalid", hint=hint)
