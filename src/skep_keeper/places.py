"""What lies where: the one list of the keeper's files and folders."""

import os
from dataclasses import dataclass

#: Claims on ranges of host user ids, shared by all installations of a machine.
RANGES_DIR = "/run/skep/ranges"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of one installation."""

    instance: str
    run_dir: str
    store_dir: str

    @property
    def socket(self) -> str:
        """Where the keeper listens."""
        return f"{self.run_dir}/keeper.sock"

    @property
    def lock(self) -> str:
        """Locked by the one keeper of this installation."""
        return f"{self.run_dir}/keeper.lock"

    @property
    def base(self) -> str:
        """Holds one folder per base tree, named by its content's hash."""
        return f"{self.run_dir}/base"

    @property
    def runc(self) -> str:
        """The runtime's own state (`runc --root`)."""
        return f"{self.run_dir}/runc"

    @property
    def sandboxes(self) -> str:
        """Holds one folder per sandbox."""
        return f"{self.run_dir}/s"

    @property
    def disks(self) -> str:
        """Holds disk images and their templates."""
        return f"{self.store_dir}/disks"

    @property
    def layers(self) -> str:
        """Holds one folder per sealed layer."""
        return f"{self.store_dir}/layers"

    @property
    def cgroup(self) -> str:
        """The control group that holds one group per sandbox, below each hierarchy's mount point."""
        return f"/skep/{self.instance}"

    def sandbox(self, sandbox_id: str) -> "Nest":
        """Return the places of one sandbox."""
        return Nest(dir=f"{self.sandboxes}/{sandbox_id}")

    def image(self, sandbox_id: str) -> str:
        """Return where a sandbox's disk image lies."""
        return f"{self.disks}/{sandbox_id}.img"

    def layer(self, layer_id: str) -> str:
        """Return where a sealed layer lies."""
        return f"{self.layers}/{layer_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """The files of one sandbox; the folder is the OCI bundle as well."""

    dir: str

    @property
    def id(self) -> str:
        """The sandbox's id."""
        return os.path.basename(self.dir)

    @property
    def intent(self) -> str:
        """Written before anything else is made, removed after all else is gone."""
        return f"{self.dir}/intent.json"

    @property
    def made(self) -> str:
        """Written when the sandbox is whole: its process and when that started."""
        return f"{self.dir}/made.json"

    @property
    def root(self) -> str:
        """Where the sandbox's root file system is mounted."""
        return f"{self.gate}/root"

    @property
    def gate(self) -> str:
        """Lets only the sandbox's own root through to its files, no other user of the machine."""
        return f"{self.dir}/gate"

    @property
    def disk(self) -> str:
        """Where the writable disk is mounted."""
        return f"{self.dir}/disk"

    @property
    def spool(self) -> str:
        """Where the supervisor's own memory disk is mounted, when there is no image."""
        return f"{self.dir}/spool"

    @property
    def socket(self) -> str:
        """The supervisor's listening socket, bound by the keeper."""
        return f"{self.dir}/c.sock"

    @property
    def config(self) -> str:
        """The OCI runtime's configuration."""
        return f"{self.dir}/config.json"

    @property
    def pid_file(self) -> str:
        """Where the runtime writes process 1's id."""
        return f"{self.dir}/pid"

    @property
    def stderr(self) -> str:
        """What runtime and supervisor say on standard error."""
        return f"{self.dir}/stderr"
