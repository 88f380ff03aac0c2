"""The plan of one environment as a plan of layers."""

from skep.product.images import plan, steps
from skep.product.images.base import Base
from skep.product.images.environment import installing
from skep.product.images.locks import Lock
from skep.product.images.model import LayerKind, Recognised, SourceListing
from skep.product.images.steps import LayerPlan, Reach


def source_layer(listing: SourceListing, project_id: str) -> LayerPlan:
    """Return the source's layer."""
    key = plan._key("source", {"project": project_id, "source": listing.digest})
    return LayerPlan(id=key, kind=LayerKind.SOURCE, about="the source", paths=("/app",), writable=True)


def plan_build(
    listing: SourceListing, recognised: Recognised, lock: Lock | None, base: Base, project_id: str
) -> steps.BuildPlan:
    """Return the plan."""
    old = plan.make_plan(listing, recognised, base, project_id, {})
    layers = [source_layer(listing, project_id)]
    if old.env_layer is not None:
        layers.append(
            LayerPlan(
                id=old.env_layer,
                kind=LayerKind.PRIVATE,
                about="its dependencies",
                paths=("/opt/env", "/app") if old.packaged else ("/opt/env",),
                steps=old.steps,
                env=installing(None),
                reach=Reach.PYTHON_INDEX,
                writable=True,
                changes=True,
            )
        )
    return steps.BuildPlan(recognised=recognised, runtimes=(f"Python {base.python}",), layers=tuple(layers))
