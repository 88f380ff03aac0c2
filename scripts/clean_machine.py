"""Runs a command in a fresh Debian 12 that has only python3, git and make: as a new user's machine would be.

    sudo python3 scripts/clean_machine.py [--keep FOLDER] [--] COMMAND...

It is a runc container with the host's devices, control groups and network and all capabilities, because Skep makes
sandboxes in it; it protects from nothing. The checkout is cloned to /root/skep inside. The operator's CA bundle and
package index settings are passed on, the package sources of the host's apt are used.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
#: Where the operator's CA bundle lies inside: not where a system package would overwrite it.
AUTHORITY_INSIDE = "/opt/operator-ca.pem"
PASSED_ON = ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "HTTPS_PROXY", "HTTP_PROXY")


def config(command: list[str], environment: dict[str, str]) -> dict[str, object]:
    """Return the OCI configuration of the machine: privileged, with namespaces only for mounts, processes and names."""
    capabilities = [f"CAP_{name}" for name in _capabilities()]
    everything = dict.fromkeys(("bounding", "effective", "permitted", "inheritable", "ambient"), capabilities)
    return {
        "ociVersion": "1.0.2",
        "hostname": "clean",
        "root": {"path": "rootfs"},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": command,
            "env": [f"{key}={value}" for key, value in environment.items()],
            "cwd": "/root",
            "capabilities": everything,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind", "rw"]},
            {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "rw"]},
            {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {
                "destination": "/etc/resolv.conf",
                "type": "bind",
                "source": "/etc/resolv.conf",
                "options": ["bind", "ro"],
            },
            {"destination": "/etc/hosts", "type": "bind", "source": "/etc/hosts", "options": ["bind", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "rootfsPropagation": "private",
            "resources": {"devices": [{"allow": True, "access": "rwm"}]},
        },
    }


#: All capabilities, in the order of their numbers.
CAPABILITIES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
"""


def _capabilities() -> list[str]:
    """Return the names of the capabilities that this process may hand on, by the bits of its bounding set."""
    status = Path("/proc/self/status").read_text()
    held = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd")), 16)
    return [name for bit, name in enumerate(CAPABILITIES.split()) if held >> bit & 1]


def _root_file_system(bundle: Path, archive: Path | None) -> Path:
    root = bundle / "rootfs"
    root.mkdir()
    made = archive or bundle / "debian.tar"
    if archive is None or not archive.exists():
        packages = "--include=python3,git,make"
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", packages, "bookworm", str(made)], check=True)
    subprocess.run(["tar", "-xf", str(made), "-C", str(root)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(root / "root" / "skep")], check=True)
    if authority().exists():
        shutil.copyfile(authority(), root / AUTHORITY_INSIDE.lstrip("/"))
    return root


def authority() -> Path:
    """Return the operator's CA bundle; it need not be there."""
    return Path(os.environ.get("SSL_CERT_FILE", "/nonexistent"))


def main() -> int:
    """Make the machine, run the command in it, remove it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=Path, help="keep the Debian file system in this tar, or take it from there")
    parser.add_argument("command", nargs="*", default=[])
    options = parser.parse_args()
    command = options.command or ["sh", "-c", "cd /root/skep && make up && make down"]
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
    }
    environment |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if authority().exists():
        environment |= {"SSL_CERT_FILE": AUTHORITY_INSIDE, "PIP_CERT": AUTHORITY_INSIDE}
    bundle = Path(tempfile.mkdtemp(prefix="clean-machine-"))
    try:
        _root_file_system(bundle, options.archive)
        (bundle / "config.json").write_text(json.dumps(config(command, environment)))
        return subprocess.run(["runc", "run", "--bundle", str(bundle), bundle.name], check=False).returncode
    finally:
        subprocess.run(["runc", "delete", "--force", bundle.name], capture_output=True, check=False)
        shutil.rmtree(bundle, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
