"""Which Node a project gets: never the machine's. Pure."""

from skep.kernel.errors import InvalidError
from skep.product.images.model import Recognised
from skep.product.images.planning import node_ranges
from skep.product.images.planning.base import Base, Runtime


def choose(recognised: Recognised, base: Base) -> tuple[Runtime, tuple[str, ...]]:
    """Return the first Node that the project takes, else the first of all, and what the owner should know of that.

    Raises:
        InvalidError: `node_unavailable`: there is none for this machine.
    """
    nodes = base.runtimes.nodes()
    if not nodes:
        raise InvalidError(
            f"There is no Node for machines of the kind {base.machine}.",
            code="node_unavailable",
            hint="Use a machine with an x86_64 or aarch64 processor, or an agent in Python.",
        )
    wanted = recognised.requires_node.strip()
    answers = [node_ranges.satisfies(node.version, wanted) for node in nodes]
    fitting = next((node for node, fits in zip(nodes, answers, strict=True) if fits), None)
    if fitting is not None:
        return fitting, ()
    taken = nodes[0]
    there = ", ".join(node.version for node in nodes)
    why = "cannot be read here" if None in answers else f"is none of those that can be had ({there})"
    return taken, (f"Node {wanted[:100]!r}, which the project asks for, {why}: Node {taken.version} is taken",)
