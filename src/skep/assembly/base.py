"""What every noun stands on: the database, the driver, files, the clock, and the life of this node."""

import asyncio
import shutil
from dataclasses import dataclass

from skep.adapters.blobs.blobs import FolderBlobs
from skep.adapters.blobs.logs import FolderLogs
from skep.adapters.blobs.packages import FolderPackages
from skep.adapters.drivers.oci.driver import OciDriver
from skep.adapters.drivers.oci.keeper import KeeperClient
from skep.adapters.keys.sealer import KeyFileSealer
from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import Stores, make_stores
from skep.assembly import machine
from skep.assembly.packages import make_mirrors, make_packages, python_source
from skep.kernel.clock import SystemClock, to_ms
from skep.kernel.database import Tx
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource
from skep.kernel.log import Redactor
from skep.kernel.settings import Settings, operator_indexes
from skep.library import runtimes
from skep.product.blobs.sweep import Files
from skep.product.gateway.mirror.sites import Mirrors
from skep.product.nodes.model import Node, NodeId, NodeStart
from skep.product.nodes.service import NodeService


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The concrete parts, each made once per process."""

    settings: Settings
    db: SqlDatabase
    stores: Stores
    hub: Hub
    clock: SystemClock
    ids: IdSource
    redactor: Redactor
    driver: OciDriver
    blobs: FolderBlobs
    logs: FolderLogs
    packages: FolderPackages
    mirrors: Mirrors
    runtimes: runtimes.Installed
    sealer: KeyFileSealer
    nodes: NodeService
    #: The life of this machine's node that began with this process.
    started: NodeStart

    @property
    def node(self) -> Node:
        """This machine."""
        return self.started.node

    @property
    def node_id(self) -> NodeId:
        """This machine's id."""
        return self.node.id

    @property
    def files(self) -> Files:
        """Logs and blobs, to be deleted."""
        return Files(logs=self.logs, blobs=self.blobs)

    def free_bytes(self) -> int:
        """Return how much space the data folder's disk has left."""
        return shutil.disk_usage(self.settings.state_dir).free


async def make_base(settings: Settings, db: SqlDatabase, hub: Hub, redactor: Redactor) -> Base:
    """Make the parts, and begin this node's life: what an earlier one held is given up."""
    clock, ids = SystemClock(), IdSource()
    stores = make_stores(db.dialect, lambda: to_ms(clock.now()))
    nodes = NodeService(db, stores.nodes, clock, ids)

    def give_up_leases(tx: Tx, started: NodeStart) -> None:
        # The lock on the data folder says that the life before is over.
        if started.previous is not None:
            stores.work.release_owner(tx, [started.previous.incarnation])

    packages = make_packages(settings, clock)
    mirrors = make_mirrors(settings, packages, clock)
    found = await asyncio.to_thread(runtimes.load, python_source(settings))
    for secret in operator_indexes(settings).hidden:
        redactor.add(secret)
    started = await nodes.start(machine.node_name(settings.state_dir), machine.boot_id(), give_up_leases)
    return Base(
        settings=settings,
        db=db,
        stores=stores,
        hub=hub,
        clock=clock,
        ids=ids,
        redactor=redactor,
        driver=OciDriver(KeeperClient(settings.keeper_socket)),
        blobs=FolderBlobs(settings.state_dir / "blobs"),
        logs=FolderLogs(settings.state_dir / "logs", hub),
        packages=packages,
        mirrors=mirrors,
        runtimes=found,
        sealer=KeyFileSealer.at(settings.state_dir / "key"),
        nodes=nodes,
        started=started,
    )
