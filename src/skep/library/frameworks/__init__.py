"""How projects are recognised and started: the built-in frameworks, and those of other packages.

Another package adds one by an entry point of the group `skep.frameworks` that names an instance.
"""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from skep.library.frameworks.crewai import CrewAI
from skep.library.frameworks.dockerfile import Dockerfile
from skep.library.frameworks.langchain import LangChain
from skep.library.frameworks.langgraph import LangGraph
from skep.library.frameworks.node import NodeFramework
from skep.library.frameworks.openai_agents import OPENAI_AGENTS
from skep.library.frameworks.python import PythonFramework
from skep.library.frameworks.skep_yaml import SkepYaml
from skep.library.frameworks.swarm import SWARM
from skep.product.agents.model import AgentLimits
from skep.product.images.ports import Framework

GROUP = "skep.frameworks"

#: The one table of what ships with Skep, beside `skep.yaml` itself, in the order in which they are asked.
BUILT_IN: tuple[Framework, ...] = (
    CrewAI(),
    LangGraph(),
    OPENAI_AGENTS,
    SWARM,
    LangChain(),
    PythonFramework(),
    NodeFramework(),
    Dockerfile(),
)


def load(foreign: Iterable[EntryPoint] | None = None, limits: AgentLimits | None = None) -> tuple[Framework, ...]:
    """Return all frameworks in the order in which they are asked.

    Args:
        foreign: entry points of other packages; None means those that are installed.
        limits: the most that a `skep.yaml` may ask for; None means the usual ones.

    Raises:
        TypeError: an entry point names something that is no framework.
    """
    found: list[Framework] = [*BUILT_IN]
    for point in entry_points(group=GROUP) if foreign is None else foreign:
        framework = point.load()
        for attribute in ("name", "order", "reads", "looks_for", "recognise"):
            if not hasattr(framework, attribute):
                raise TypeError(f"{point.value} is no framework: it has no {attribute}")
        found.append(framework)
    names = {framework.name: framework.looks_for for framework in found}
    own = SkepYaml(limits or AgentLimits(), names)
    return tuple(sorted((own, *found), key=lambda framework: framework.order))
