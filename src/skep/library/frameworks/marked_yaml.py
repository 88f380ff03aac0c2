"""YAML from strangers, as nodes that know where they stand: small, shallow, plain, never objects.

The text is composed with PyYAML's safe loader; nothing is constructed but texts, numbers, booleans and null.
"""

import math
from collections.abc import Mapping
from typing import Any, cast

import yaml

MAX_CHARACTERS = 65_536
MAX_DEPTH = 30
#: Texts, lists and mappings together: each takes as much time as some thirty characters.
MAX_NODES = 5_000
_TAG = "tag:yaml.org,2002:"
_PLAIN = yaml.SafeLoader("")


class YamlError(ValueError):
    """The text is wrong at a place: line and column count from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def wrong(node: yaml.Node, message: str) -> YamlError:
    """Return the error that says that *node* is wrong."""
    return YamlError(message, node.start_mark.line + 1, node.start_mark.column + 1)


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses what makes a short text large or deep."""

    takes_aliases = False
    _depth = 0
    _count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose the next node, unless it is an alias, too deep, or one too many."""
        event: Any = cast("Any", self).peek_event()
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent) and not self.takes_aliases:
            raise YamlError("aliases (`*name`) are not taken: write it out", mark.line + 1, mark.column + 1)
        if self._depth >= MAX_DEPTH:
            raise YamlError(f"nested more than {MAX_DEPTH} deep", mark.line + 1, mark.column + 1)
        self._count += 1
        if self._count > MAX_NODES:
            raise YamlError(f"more than {MAX_NODES} values", mark.line + 1, mark.column + 1)
        self._depth += 1
        try:
            return cast("Any", super()).compose_node(parent, index)
        finally:
            self._depth -= 1


def compose(text: str, *, aliases: bool = False) -> yaml.Node | None:
    """Return the one document of *text*, or None if it is empty.

    With *aliases* a node may be met at several places, and within itself: whoever walks it must not walk it twice.

    Raises:
        YamlError: it is no YAML, more than one document, too large, or holds an alias.
    """
    if len(text) > MAX_CHARACTERS:
        raise YamlError(f"larger than {MAX_CHARACTERS} characters")
    try:
        loader = _Loader(text)
        loader.takes_aliases = aliases
        return cast("Any", loader).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part) or "this is no YAML"
        raise YamlError(said, *((mark.line + 1, mark.column + 1) if mark else ())) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise YamlError("a character that YAML does not take", line, column) from error
    except yaml.YAMLError as error:
        raise YamlError("this is no YAML") from error


def kind(node: yaml.Node) -> str:
    """Return what *node* is, in words for its author."""
    names = {
        "map": "a mapping",
        "seq": "a list",
        "str": "a text",
        "int": "a number",
        "float": "a number",
        "bool": "true or false",
        "null": "nothing",
    }
    return names.get(_tag(node), f"of the type {node.tag[:80]}")


def members(node: yaml.Node, what: str) -> Mapping[str, tuple[yaml.Node, yaml.Node]]:
    """Return the members of a mapping: name -> (its key, its value); null is an empty one.

    Raises:
        YamlError: it is no mapping, or a key is no text or stands there twice.
    """
    if _tag(node) == "null":
        return {}
    if not isinstance(node, yaml.MappingNode) or _tag(node) != "map":
        raise wrong(node, f"{what} is {kind(node)}; expected a mapping")
    found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise wrong(key, f"a key of {what} is {kind(key)}; expected a text")
        if key.value in found:
            raise wrong(key, f"the key `{key.value[:80]}` stands twice in {what}")
        found[key.value] = (key, value)
    return found


def items(node: yaml.Node, what: str) -> list[yaml.Node]:
    """Return the items of a list; `YamlError` if it is none."""
    if not isinstance(node, yaml.SequenceNode) or _tag(node) != "seq":
        raise wrong(node, f"{what} is {kind(node)}; expected a list")
    return list(node.value)


def text(node: yaml.Node, what: str, *, numbers: bool = False) -> str:
    """Return a text as it is written; with *numbers* also a number. `YamlError` if it is neither.

    A date is a text too: YAML alone thinks otherwise.
    """
    takes = ("str", "timestamp", "int", "float") if numbers else ("str", "timestamp")
    if not isinstance(node, yaml.ScalarNode) or _tag(node) not in takes:
        hint = "; put it in quotes" if isinstance(node, yaml.ScalarNode) and _tag(node) != "null" else ""
        raise wrong(node, f"{what} is {kind(node)}; expected a text{hint}")
    return node.value


def number(node: yaml.Node, what: str, *, whole: bool) -> float:
    """Return a number, an int if *whole*; `YamlError` if it is none."""
    takes = {"int"} if whole else {"int", "float"}
    if not isinstance(node, yaml.ScalarNode) or _tag(node) not in takes:
        raise wrong(node, f"{what} is {kind(node)}; expected a {'whole ' if whole else ''}number")
    return value(node)


def value(node: yaml.Node) -> Any:
    """Return *node* as JSON has it.

    Raises:
        YamlError: JSON has no such thing.
    """
    if isinstance(node, yaml.MappingNode):
        return {key: value(member) for key, (_, member) in members(node, "this mapping").items()}
    if isinstance(node, yaml.SequenceNode):
        return [value(item) for item in items(node, "this")]
    return _scalar(cast("yaml.ScalarNode", node))


def _scalar(node: yaml.ScalarNode) -> Any:
    make: Any = cast("Any", _PLAIN)
    try:
        match _tag(node):
            case "str" | "timestamp":
                return node.value
            case "null":
                return None
            case "bool":
                return make.construct_yaml_bool(node)
            case "int":
                return make.construct_yaml_int(node)
            case "float" if math.isfinite(found := make.construct_yaml_float(node)):
                return found
            case _:
                raise wrong(node, f"this is {kind(node)}; JSON has no such thing")
    except (ValueError, KeyError, OverflowError) as error:
        if isinstance(error, YamlError):
            raise
        raise wrong(node, f"this is no {_tag(node)} that can be read") from error


def _tag(node: yaml.Node) -> str:
    return node.tag.removeprefix(_TAG)
