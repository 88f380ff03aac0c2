"""Runs a script in a fresh Debian 12 of its own kernel: with systemd, unified control groups, nothing but its packages.

    sudo python3 scripts/clean_vm.py [--folder FOLDER] [--minutes N] [--accel kvm|tcg] [--] SHELL COMMAND...

What `clean_machine.py` shows in a container this shows in a virtual machine (qemu-system-x86, mmdebstrap; software
emulation is some ten times slower). The checkout is cloned to /root/skep inside; the console is this command's output,
and its exit code the shell command's.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from clean_machine import AUTHORITY_INSIDE, CHECKOUT, PASSED_ON, authority

PACKAGES = "linux-image-cloud-amd64,systemd-sysv,systemd-resolved,udev,dbus,kmod,iproute2,python3,git,make"
CONSOLE = "/dev/ttyS0"
ENDED = "the command ended with"

#: Runs once the network is there, its output on the console; the machine goes off when it is over.
UNIT = f"""
[Unit]
After=systemd-networkd-wait-online.service systemd-resolved.service
Wants=systemd-networkd-wait-online.service
[Service]
Type=exec
Environment={{environment}}
WorkingDirectory=/root
ExecStart=/bin/bash -c '/bin/bash /root/trial.sh; printf "\\n{ENDED} %%d\\n" $?'
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=file:{CONSOLE}
StandardError=file:{CONSOLE}
"""


def file_system(folder: Path) -> Path:
    """Return the folder of a Debian, made once."""
    root = folder / "root"
    if not root.exists():
        half = folder / "half"
        shutil.rmtree(half, ignore_errors=True)
        options = ["--quiet", "--variant=minbase", f"--include={PACKAGES}"]
        subprocess.run(["mmdebstrap", *options, "bookworm", str(half)], check=True)
        half.rename(root)
    return root


def prepare(root: Path, command: str) -> None:
    """Put the checkout, the network's settings and the command into a file system."""
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(root / "root/skep")], check=True)
    environment = {"HOME": "/root", "LANG": "C.UTF-8"}
    environment |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if authority().exists():
        shutil.copyfile(authority(), root / AUTHORITY_INSIDE.lstrip("/"))
        environment |= {"SSL_CERT_FILE": AUTHORITY_INSIDE, "PIP_CERT": AUTHORITY_INSIDE}
    shutil.copyfile("/etc/hosts", root / "etc/hosts")
    _link(root / "etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
    network = root / "etc/systemd/network/all.network"
    network.write_text("[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n")
    (root / "root/trial.sh").write_text(command + "\n")
    units = root / "etc/systemd/system"
    said = " ".join(shlex.quote(f"{key}={value}") for key, value in environment.items())
    (units / "trial.service").write_text(UNIT.format(environment=said))
    # A login on the console would hang it up.
    _link(units / "serial-getty@ttyS0.service", "/dev/null")
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    _link(wanted / "trial.service", "/etc/systemd/system/trial.service")
    for name in ("systemd-networkd", "systemd-resolved"):
        _link(wanted / f"{name}.service", f"/lib/systemd/system/{name}.service")


def _link(place: Path, target: str) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def disk(folder: Path, root: Path, command: str) -> Path:
    """Return a disk image that holds the file system and the command."""
    stage, image = folder / "stage", folder / "disk.img"
    shutil.rmtree(stage, ignore_errors=True)
    subprocess.run(["cp", "-a", str(root), str(stage)], check=True)
    prepare(stage, command)
    with image.open("wb") as empty:
        empty.truncate(12 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(stage), str(image)], check=True)
    shutil.rmtree(stage)
    return image


def machine(root: Path, image: Path, accel: str) -> list[str]:
    """Return the command that starts the machine."""
    kernel, memory = max((root / "boot").glob("vmlinuz-*")), max((root / "boot").glob("initrd.img-*"))
    said = f"root=/dev/vda rw console={CONSOLE.removeprefix('/dev/')} quiet systemd.show_status=false"
    processor = "host" if accel == "kvm" else "max"
    return [
        *("qemu-system-x86_64", "-accel", accel, "-cpu", processor, "-smp", "2", "-m", "4096"),
        *("-nographic", "-no-reboot", "-kernel", str(kernel), "-initrd", str(memory), "-append", said),
        *("-drive", f"file={image},if=virtio,format=raw,cache=unsafe", "-nic", "user,model=virtio-net-pci"),
    ]


def main() -> int:
    """Make the machine, run the command in it, remove it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keep the Debian here, or take it from here")
    parser.add_argument("--minutes", type=float, default=60, help="how long it may take")
    parser.add_argument("--accel", choices=("kvm", "tcg"), default="tcg")
    parser.add_argument("command", nargs="*", default=[])
    options = parser.parse_args()
    command = shlex.join(options.command) or "cd /root/skep && make up && .venv/bin/skep doctor && make down"
    folder = options.folder or Path(tempfile.mkdtemp(prefix="clean-vm-"))
    folder.mkdir(parents=True, exist_ok=True)
    code = 1
    try:
        root = file_system(folder)
        started = subprocess.Popen(
            ["timeout", f"{options.minutes}m", *machine(root, disk(folder, root, command), options.accel)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert started.stdout is not None
        for line in started.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.startswith(ENDED):
                code = int(line.removeprefix(ENDED))
        started.wait()
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
