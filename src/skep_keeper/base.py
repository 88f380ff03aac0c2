"""The `host` base: the tree that all sandboxes stand on, made from the machine's own /usr and a made-up /etc.

It is a list of entries first (a value, with a hash), then a folder with that hash for a name. Nothing of the host but
a few world-readable files of /etc comes in; /usr itself is mounted later.
"""

import glob
import hashlib
import importlib.util
import os
import stat
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skep_keeper import bundle, files
from skep_keeper.errors import StartError

_FOLDERS = (
    "dev",
    "etc",
    "home/agent",
    "opt/skep/bin",
    "opt/skep/lib",
    "opt/skep/spool",
    "opt/skep/supervisor",
    "proc",
    "run/secrets",
    "run/skep",
    "tmp",
    "usr",
    "var/tmp",
)
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin", "etc/mtab": "/proc/self/mounts"}
#: What programs of /usr expect to find; links of /usr lead to most of it.
_TAKEN = (
    "alternatives",
    "debian_version",
    "fonts",
    "groff",
    "java-*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "maven",
    "mime.types",
    "os-release",
    "perl",
    "protocols",
    "python3*",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
)
_WRITTEN = {
    "etc/environment": "",
    "etc/gitconfig": "[safe]\n\tdirectory = *\n",
    "etc/group": "root:x:0:\ntty:x:5:\nskep:x:900:\nagent:x:1000:\nnogroup:x:65534:\n",
    "etc/host.conf": "multi on\n",
    "etc/hostname": "sandbox\n",
    "etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
    "etc/passwd": (
        "root:x:0:0:root:/home/agent:/bin/sh\n"
        "skep:x:900:900::/nonexistent:/usr/sbin/nologin\n"
        "agent:x:1000:1000::/home/agent:/bin/bash\n"
        "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
    ),
    # Nobody listens there: a look-up fails at once instead of waiting.
    "etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    "etc/shells": "/bin/sh\n/bin/bash\n",
    "opt/skep/bin/uv": "",
}
#: -I keeps the script's own folder off the path.
_START = f"""import sys

sys.path.insert(0, {bundle.SUPERVISOR!r})

from skep_supervisor.__main__ import main

main()
"""
_CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the tree: a file with *data*, a link with *target*, or a folder with neither."""

    path: str
    data: bytes | None = None
    target: str | None = None


def plan(*, supervisor: str, guest: str, ca_file: str, etc: str = "/etc") -> tuple[Entry, ...]:
    """List the base's entries from what the host has; sorted, parents first.

    *supervisor* and *guest* are the folders of those packages.
    """
    entries = {path: Entry(path) for path in _FOLDERS}
    entries |= {path: Entry(path, target=target) for path, target in _LINKS.items() if _on_host(path)}
    entries |= {entry.path: entry for entry in _taken(etc)}
    entries |= {path: Entry(path, data=text.encode()) for path, text in _WRITTEN.items()}
    entries[_CA_BUNDLE] = Entry(_CA_BUNDLE, data=_read(ca_file))
    entries |= {entry.path: entry for entry in (*_program(supervisor), *_guest(guest))}
    return tuple(entries[path] for path in sorted(entries))


def digest(entries: Iterable[Entry]) -> str:
    """Return the hash that names a base with these entries."""
    total = hashlib.sha256()
    for entry in entries:
        for part in (entry.path.encode(), entry.data, entry.target.encode() if entry.target is not None else None):
            total.update(b"-" if part is None else b"%d:" % len(part) + part)
    return total.hexdigest()[:16]


def build(entries: tuple[Entry, ...], folder: str) -> str:
    """Make the tree below *folder*, under its hash, unless it is there; return its path."""
    target = f"{folder}/{digest(entries)}"
    if os.path.isdir(target):
        return target
    temporary = f"{folder}/.new-{uuid.uuid4().hex}"
    files.make_folder(temporary, 0o755)
    for entry in entries:
        _make(f"{temporary}/{entry.path}", entry)
    _compile(temporary)
    os.rename(temporary, target)
    return target


def drop_unused(folder: str, keep: str, used: Iterable[str]) -> list[str]:
    """Remove the bases that nothing is mounted from; return what was removed."""
    in_use = {keep, *used}
    gone = [path for name in files.names(folder) if (path := f"{folder}/{name}") not in in_use]
    for path in gone:
        files.remove_tree(path)
    return gone


def folder_of(package: str) -> str:
    """Find a package that is installed beside the keeper: the supervisor's program, or what agents find.

    Raises:
        StartError: it is not installed.
    """
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        return folder
    beside = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), package)
    if os.path.isdir(beside):
        return beside
    raise StartError(f"{package} is not installed beside skep_keeper")


def fingerprint() -> str:
    """Return what built environments depend on: Python's ABI, the C library, the architecture.

    Raises:
        StartError: the machine has no fit Python under /usr.
    """
    words = "import sys, sysconfig; print(sys.version_info[:2] >= (3, 11), sysconfig.get_config_var('SOABI'))"
    try:
        done = subprocess.run([bundle.PYTHON, "-I", "-S", "-c", words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartError(f"{bundle.PYTHON} does not run: {error}") from error
    fit, abi = done.stdout.split()
    if fit != "True":
        raise StartError(f"{bundle.PYTHON} is {abi}; Python 3.11 or newer is needed")
    return f"host;{abi};{os.confstr('CS_GNU_LIBC_VERSION') or 'libc'};{os.uname().machine}".replace(" ", "-")


def _on_host(path: str) -> bool:
    """Tell whether a link of the base is one on the host, too (not all machines have /lib64)."""
    return path.startswith("etc/") or os.path.islink(f"/{path}")


def _taken(etc: str) -> Iterator[Entry]:
    for pattern in _TAKEN:
        for path in sorted(glob.glob(pattern, root_dir=etc)):
            yield from _walk(etc, path)


def _walk(etc: str, path: str) -> Iterator[Entry]:
    """Yield a file, a link, or a folder and all below it, if everybody on the host may read it."""
    source, target = f"{etc}/{path}", f"etc/{path}"
    try:
        found = os.lstat(source)
        if stat.S_ISLNK(found.st_mode):
            yield Entry(target, target=os.readlink(source))
        elif stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IROTH:
            yield Entry(target, data=_read(source))
        elif stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_IROTH:
            yield Entry(target)
            for name in files.names(source):
                yield from _walk(etc, f"{path}/{name}")
    except FileNotFoundError:
        return


def _program(supervisor: str) -> Iterator[Entry]:
    """Yield the supervisor's package and the script that starts it: a script starts 3 ms sooner than a folder."""
    program = bundle.SUPERVISOR.lstrip("/")
    yield Entry(f"{program}/__main__.py", data=_START.encode())
    yield Entry(f"{program}/skep_supervisor")
    for name in files.names(supervisor):
        if name.endswith(".py"):
            yield Entry(f"{program}/skep_supervisor/{name}", data=_read(f"{supervisor}/{name}"))


def _guest(folder: str) -> Iterator[Entry]:
    """Yield what agents import, each file a module of its own, and the command that asks."""
    for name in files.names(folder):
        if name.endswith((".py", ".mjs")) and name != "__init__.py":
            yield Entry(f"{bundle.GUEST.lstrip('/')}/{name}", data=_read(f"{folder}/{name}"))
        elif name == os.path.basename(bundle.ASK):
            yield Entry(bundle.ASK.lstrip("/"), data=_read(f"{folder}/{name}"))


def _compile(tree: str) -> None:
    """Compile the supervisor, which takes 8 ms of each sandbox's start otherwise, and the guest; both run without."""
    command = [bundle.PYTHON, "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", tree, "-p", "/", tree + bundle.SUPERVISOR, tree + bundle.GUEST]
    subprocess.run(command, check=False, capture_output=True, umask=0o022)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _make(path: str, entry: Entry) -> None:
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    if entry.target is not None:
        os.symlink(entry.target, path)
    elif entry.data is not None:
        with open(path, "wb") as file:
            file.write(entry.data)
        os.chmod(path, 0o755 if f"/{entry.path}" in (bundle.UV, bundle.ASK) else 0o644)
    else:
        files.make_folder(path, 0o755)
