"""What can run agents on this machine: its own Python, and what is put over that as a layer when it is first needed."""

import hashlib
from dataclasses import dataclass

from skep.kernel.database import Database
from skep.product.access.model import Principal, Scope
from skep.product.access.service import require
from skep.product.images.model import Language, Layer
from skep.product.images.planning import layer_plans
from skep.product.images.planning.base import Base, Runtime, Runtimes
from skep.product.images.ports import LayerStore
from skep.product.sandboxes.model import LayerId
from skep.product.sandboxes.ports import Based


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRuntime:
    """A version of a language that agents can be run by."""

    language: Language
    version: str
    #: Where it comes from, for people.
    origin: str
    #: SHA-256 of all that its content depends on.
    fingerprint: str
    #: True if it is on the disk; else a build makes its layer, once.
    there: bool
    #: Bytes of its layer; 0 for the machine's own, and as long as it is not there.
    size: int = 0


class RuntimeList:
    """Shows the runtimes; which one an agent gets, its source decides."""

    def __init__(
        self,
        db: Database,
        layers: LayerStore,
        driver: Based,
        runtimes: Runtimes,
        *,
        node_id: str,
        machine_python: str,
        uv_version: str,
    ) -> None:
        self._db = db
        self._layers = layers
        self._driver = driver
        self._runtimes = runtimes
        self._node_id = node_id
        self._machine_python = machine_python
        self._uv_version = uv_version

    async def all(self, principal: Principal) -> list[KnownRuntime]:
        """List the machine's own first, then Node, then copies of Python, newest first."""
        require(principal, Scope.READ)
        base = Base(
            fingerprint=await self._driver.base_fingerprint(),
            python=self._machine_python,
            uv=self._uv_version,
            runtimes=self._runtimes,
        )
        found = await self._db.read(lambda tx: self._layers.layers(tx, self._node_id))
        rows = {layer.id: layer for layer in found}
        own = KnownRuntime(
            language=Language.PYTHON,
            version=self._machine_python,
            origin="the machine's",
            fingerprint=_digest(base.fingerprint),
            there=True,
        )
        nodes = (_known(one, layer_plans.node(one, base).id, rows) for one in self._runtimes.nodes())
        pythons = (_known(one, layer_plans.python(one, base).id, rows) for one in self._runtimes.pythons())
        return [own, *nodes, *pythons]


def _known(runtime: Runtime, layer: LayerId, rows: dict[LayerId, Layer]) -> KnownRuntime:
    there = rows.get(layer)
    return KnownRuntime(
        language=Language(runtime.name),
        version=runtime.version,
        origin=runtime.origin,
        fingerprint=_digest(runtime.facts),
        there=there is not None,
        size=0 if there is None else there.size,
    )


def _digest(facts: str) -> str:
    return hashlib.sha256(facts.encode()).hexdigest()
