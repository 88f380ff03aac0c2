"""What shows and looks after what builds make: images, layers, runtimes."""

from importlib import metadata

from skep.assembly.base import Base
from skep.kernel.settings import MIB, Settings
from skep.library.runtimes import machine
from skep.product.access.service import AccessService
from skep.product.images.layers.care import ImageCare
from skep.product.images.layers.catalogue import Catalogue
from skep.product.images.layers.clearing import Clearing, LayerRules
from skep.product.images.layers.runtimes import RuntimeList

_DAY_MS = 86_400_000


def layer_rules(settings: Settings) -> LayerRules:
    """Return how long the operator wants layers to be kept that no image names."""
    return LayerRules(
        unused_ms=round(settings.keep_layers_days * _DAY_MS), total_bytes=settings.layers_limit_mb * MIB or None
    )


def make_catalogue(base: Base, clearing: Clearing, access: AccessService) -> Catalogue:
    """Return what shows and frees images and layers."""
    return Catalogue(
        base.db,
        base.stores.catalogue,
        ImageCare(base.db, base.stores.images, clearing, base.clock),
        access,
        base.clock,
        node_id=base.node_id,
        keep_versions=base.settings.keep_versions,
        prune_packages=base.packages.prune,
    )


def make_runtime_list(base: Base) -> RuntimeList:
    """Return what shows the runtimes; asks the machine's own Python for its version."""
    return RuntimeList(
        base.db,
        base.stores.images,
        base.driver,
        base.runtimes,
        node_id=base.node_id,
        machine_python=machine.python_version(),
        uv_version=metadata.version("uv"),
    )
