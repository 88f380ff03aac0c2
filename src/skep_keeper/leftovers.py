"""What a crash may leave behind that belongs to no sandbox: found and removed."""

import os

from skep_keeper import files, log, mounts
from skep_keeper.cgroups import Cgroups
from skep_keeper.disk import Disks
from skep_keeper.errors import KeeperError
from skep_keeper.layers import Layers
from skep_keeper.places import Places
from skep_keeper.ranges import Ranges
from skep_keeper.runc import Runc
from skep_keeper.sandboxes import Sandboxes


class Leftovers:
    """Compares what the machine holds with the sandboxes that are meant to be."""

    def __init__(
        self,
        places: Places,
        *,
        sandboxes: Sandboxes,
        disks: Disks,
        layers: Layers,
        cgroups: Cgroups,
        runc: Runc,
        ranges: Ranges,
    ) -> None:
        self._places = places
        self._sandboxes = sandboxes
        self._disks = disks
        self._layers = layers
        self._cgroups = cgroups
        self._runc = runc
        self._ranges = ranges

    def names(self) -> list[str]:
        """Name each thing that belongs to no sandbox."""
        return sorted(what for names in self._strays().values() for what in names)

    def sweep(self) -> list[str]:
        """Remove what `names` names; return what was removed."""
        done: list[str] = []
        for sandbox_id, names in self._strays().items():
            try:
                self._sandboxes.destroy(sandbox_id)
            except (KeeperError, OSError) as error:
                log.error("a leftover stays", sandbox=sandbox_id, reason=str(error))
            else:
                done += names
        return sorted(done)

    def unfinished_layers(self) -> None:
        """Remove layers that were being sealed or dropped; only right while nobody seals."""
        for name in self._layers.unfinished():
            self._layers.drop_unfinished(name)

    def _strays(self) -> dict[str, list[str]]:
        # Intents are read before and after: what is being made has one by then, what is being removed had one.
        before = self._intended()
        found = self._present()
        intended = before | self._intended()
        return {sandbox_id: names for sandbox_id, names in found.items() if sandbox_id not in intended}

    def _intended(self) -> set[str]:
        folder = self._places.sandboxes
        return {name for name in files.names(folder) if os.path.exists(self._places.sandbox(name).intent)}

    def _present(self) -> dict[str, list[str]]:
        """Name all that exists, by the sandbox that it would belong to."""
        folder = self._places.sandboxes
        found: dict[str, list[str]] = {}
        for mount in mounts.below(folder, mounts.current()):
            found.setdefault(mount.target.removeprefix(f"{folder}/").split("/")[0], []).append(f"mount {mount.target}")
        for kind, names in (
            ("control group", self._cgroups.names()),
            ("runtime state", self._runc.names()),
            ("disk image", self._disks.images()),
            ("folder", set(files.names(folder))),
            ("user ids", {os.path.basename(owner) for owner in self._ranges.stale(folder)}),
        ):
            for name in names:
                found.setdefault(name, []).append(f"{kind} of {name}")
        return found
