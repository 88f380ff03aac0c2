"""Puts the keeper together: checks the machine and the folders, builds the base, opens the door."""

import fcntl
import os
import time
from dataclasses import dataclass

from skep_keeper import base, files, log, mounts, processes, seccomp, syscalls
from skep_keeper.cgroups import Cgroups
from skep_keeper.disk import Disks
from skep_keeper.errors import StartError
from skep_keeper.layers import Layers
from skep_keeper.leftovers import Leftovers
from skep_keeper.operations import Facts, Operations
from skep_keeper.places import RANGES_DIR, Places
from skep_keeper.ranges import Ranges
from skep_keeper.runc import Runc
from skep_keeper.sandboxes import Host, Sandboxes
from skep_keeper.server import Server, bind

#: Length of a sandbox id, and of the longest path of a Unix socket.
_ID_LENGTH = 30
_MAX_SOCKET_PATH = 107
_LOCK_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the launcher decides."""

    places: Places
    uid: int
    gid: int
    uv: str
    ca_file: str
    supervisor: str | None = None
    disk: str = "auto"


def check_machine(options: Options) -> None:
    """Refuse a machine or folders on which sandboxes could not be safe.

    Raises:
        StartError: the message says what is wrong.
    """
    if os.geteuid() != 0:
        raise StartError("the keeper must be started by root")
    machine = os.uname().machine
    if not seccomp.supported(machine):
        raise StartError(f"there is no seccomp profile for {machine}")
    if not os.path.islink("/lib") or not os.path.islink("/bin"):
        raise StartError("/bin and /lib must be links into /usr (a merged /usr, as on Debian 12 and Ubuntu 24.04)")
    if files.read_text("/proc/sys/user/max_user_namespaces") == "0":
        raise StartError("user namespaces are switched off: sysctl user.max_user_namespaces=15000")
    for path, what in ((options.uv, "--uv"), (options.ca_file, "--ca-file")):
        if not os.path.isfile(path):
            raise StartError(f"{what} {path} is not a file")
    if os.stat(options.uv).st_mode & 0o005 != 0o005:
        raise StartError(f"--uv {options.uv} must be readable and executable for all users")
    places = options.places
    files.require_trusted(places.run_dir, "--run-dir")
    files.require_trusted(places.store_dir, "--store-dir")
    if len(places.sandbox("x" * _ID_LENGTH).socket) > _MAX_SOCKET_PATH:
        raise StartError(f"--run-dir {places.run_dir} is too long for the paths of Unix sockets")


def prepare_folders(places: Places) -> None:
    """Make the keeper's folders; every parent of a sandbox's root must let others pass through.

    Layers must not: an agent may write to its own copy of a file, so the file's mode lets everybody.
    """
    for path in (places.run_dir, places.store_dir, places.sandboxes, places.runc):
        files.make_folder(path, 0o711)
    files.make_folder(places.base, 0o755)
    for path in (places.disks, places.layers):
        files.make_folder(path, 0o700)


def lock(places: Places) -> int:
    """Become the one keeper of this installation; the lock ends with the process.

    Raises:
        StartError: another one runs.
    """
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            # A child of a keeper that was killed holds the lock until it has become the runtime.
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise StartError(f"another keeper runs on {places.run_dir}") from error
            time.sleep(0.02)
        else:
            return descriptor


def assemble(options: Options, cgroups: Cgroups) -> Operations:
    """Make all parts of the keeper."""
    places = options.places
    fingerprint = base.fingerprint()
    runc = Runc(places.runc)
    runc.end_strays()
    disks = Disks(places, options.disk)
    layers = Layers(places.layers)
    ranges = Ranges(RANGES_DIR)
    host = Host(
        base=_build_base(options),
        uv=os.path.realpath(options.uv),
        machine=os.uname().machine,
        usr_has_mounts=len(mounts.below("/usr", mounts.current())) > 0,
        uid=options.uid,
        gid=options.gid,
    )
    sandboxes = Sandboxes(places, host, disks=disks, layers=layers, cgroups=cgroups, runc=runc, ranges=ranges)
    leftovers = Leftovers(
        places, sandboxes=sandboxes, disks=disks, layers=layers, cgroups=cgroups, runc=runc, ranges=ranges
    )
    leftovers.unfinished_layers()
    _warn(cgroups.enforceable(), disks.kind)
    facts = Facts(
        instance=places.instance,
        disk=disks.kind,
        fingerprint=fingerprint,
        runc=runc.version(),
        kernel=os.uname().release,
    )
    return Operations(facts, sandboxes, layers, leftovers)


def run(options: Options) -> None:
    """Check, prepare and serve, until a signal ends it."""
    os.umask(0o022)
    check_machine(options)
    places = options.places
    prepare_folders(places)
    held = lock(places)
    syscalls.become_subreaper()
    cgroups = Cgroups(places.cgroup)
    operations = assemble(options, cgroups)
    listener = bind(places.socket, options.uid, options.gid)
    log.info("keeper is ready", instance=places.instance, pid=os.getpid(), boot_id=processes.boot_id())
    Server(operations, listener, options.uid).serve()
    log.info("keeper ends; sandboxes go on")
    cgroups.remove_parent()
    os.close(held)


def _build_base(options: Options) -> str:
    folder = options.places.base
    supervisor = options.supervisor or base.folder_of("skep_supervisor")
    entries = base.plan(supervisor=supervisor, guest=base.folder_of("skep_guest"), ca_file=options.ca_file)
    built = base.build(entries, folder)
    base.drop_unused(folder, built, mounts.lower_folders(mounts.current(), folder))
    return built


def _warn(enforceable: dict[str, bool], disk: str) -> None:
    for name, enforced in enforceable.items():
        if not enforced:
            log.warning(f"the limit on {name} is not enforced: its control group is missing or read-only")
    if disk != "loop":
        log.warning("disks are held in memory and count against the memory limit")
