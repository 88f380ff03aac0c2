"""agents.yaml and tasks.yaml of a crew: the inputs that they name, and what looks forgotten."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from skep.kernel.errors import InvalidError
from skep.library.frameworks import documents, marked_yaml
from skep.library.frameworks.marked_yaml import YamlError, wrong
from skep.product.images.model import SourceListing

#: As CrewAI finds what its command asks for; `{{key}}` and the braces of JSON are none.
_KEY = re.compile(r"(?<!\{)\{([A-Za-z_][A-Za-z0-9_-]{0,99})\}(?!\})")
_HINT = "See https://docs.crewai.com/concepts/agents and https://docs.crewai.com/concepts/tasks"
#: Names that a word is compared with, and characters of each: to find out which was meant costs their product.
_MOST_COMPARED = 200
_LONGEST_COMPARED = 80
#: What each file's entries are, and the keys without which CrewAI makes none of them.
_NEEDED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "agents.yaml": ("agent", ("role", "goal", "backstory")),
    "tasks.yaml": ("task", ("description", "expected_output")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewFile:
    """What one of the two files says."""

    #: Keys in braces, in the order of their appearance.
    keys: tuple[str, ...] = ()
    #: Names of the agents or tasks.
    names: tuple[str, ...] = ()
    #: Task -> (the agent that it names, line).
    agents: Mapping[str, tuple[str, int]]
    #: What an entry lacks; the crew's code may still say it.
    lacks: tuple[str, ...] = ()


def read(listing: SourceListing, path: str) -> CrewFile:
    """Read one of the files.

    Raises:
        InvalidError: `crew_invalid`, with line and column.
    """
    try:
        return _read(documents.text(listing, path), path)
    except YamlError as error:
        place = f"{path[:200]}, line {error.line}, column {error.column}"
        raise InvalidError(f"{place}: {error.message}.", code="crew_invalid", hint=_HINT) from error


def strangers(agents: CrewFile, tasks: CrewFile, path: str) -> Iterator[str]:
    """Yield words on tasks that name an agent which is not among *agents*; *path* is that of the tasks.

    Each costs a comparison with many names: whoever wants a few words takes a few.
    """
    there = {name[:_LONGEST_COMPARED] for name in agents.names}
    compared = [name[:_LONGEST_COMPARED] for name in agents.names[:_MOST_COMPARED]]
    for task, (agent, line) in tasks.agents.items():
        if agent not in there:
            close = get_close_matches(agent, compared, 1)
            meant = f"; did you mean `{close[0]}`?" if close else " in agents.yaml"
            yield f"{path}, line {line}: the task `{task}` names the agent `{agent}`, which is not there{meant}"


def _read(text: str, path: str) -> CrewFile:
    root = marked_yaml.compose(text, aliases=True)
    what, needed = _NEEDED[path.rsplit("/", 1)[-1]]
    if root is None:
        return CrewFile(agents={}, lacks=(f"{path} is empty; expected {what}s by their names",))
    entries = marked_yaml.members(root, "the file")
    agents: dict[str, tuple[str, int]] = {}
    lacks: list[str] = []
    for name, (key, node) in entries.items():
        shown = f"`{name[:80]}`"
        if not isinstance(node, MappingNode):
            raise wrong(node, f"{shown} is {marked_yaml.kind(node)}; expected {what} {shown} with {', '.join(needed)}")
        found = marked_yaml.members(node, shown)
        missing = [one for one in needed if one not in found and "<<" not in found]
        if missing:
            line = key.start_mark.line + 1
            lacks.append(f"{path}, line {line}: the {what} {shown} has no {' and no '.join(missing)}")
        agent = found["agent"][1] if "agent" in found else None
        if isinstance(agent, ScalarNode) and agent.value:
            agents[name[:80]] = (agent.value[:_LONGEST_COMPARED], agent.start_mark.line + 1)
    return CrewFile(keys=_keys(root), names=tuple(entries), agents=agents, lacks=tuple(lacks))


def _keys(root: Node) -> tuple[str, ...]:
    """Return the keys in braces in all texts; a node that several aliases lead to is looked at once."""
    found: dict[str, None] = {}
    seen: set[int] = set()
    left = [root]
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, ScalarNode):
            found.update(dict.fromkeys(_KEY.findall(node.value)))
        elif isinstance(node, SequenceNode):
            left += reversed(node.value)
        elif isinstance(node, MappingNode):
            left += [value for _, value in reversed(node.value)]
    return tuple(found)
