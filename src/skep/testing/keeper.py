"""A real keeper for a test, on folders of its own; needs root and runc."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skep.testing.wait import until_sync

_PATIENCE_S = 30.0


@dataclass(slots=True, kw_only=True)
class RunningKeeper:
    """A keeper's process and places, and the means to hurt it."""

    instance: str
    run_dir: Path
    store_dir: Path
    log_file: Path
    argv: tuple[str, ...]
    process: subprocess.Popen[bytes]

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.run_dir / "keeper.sock"

    @property
    def log(self) -> str:
        """All that it has logged so far."""
        return self.log_file.read_text()

    def kill(self) -> None:
        """End it as a crash would; its sandboxes go on."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as an operator would; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def restart(self) -> None:
        """Start it again on the same folders, and wait until it answers."""
        if self.process.poll() is None:
            self.kill()
        self.process = _start(self.argv, self.log_file)
        self.wait_ready()

    def destroy_all(self) -> None:
        """Have every sandbox destroyed, and what else a crash has left."""
        for item in json.loads(request(self.socket, b'{"op":"list"}'))["items"]:
            request(self.socket, json.dumps({"op": "destroy", "id": item["id"]}).encode())
        request(self.socket, b'{"op":"sweep"}')

    def wait_ready(self) -> None:
        """Wait until it answers."""

        def answers() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the keeper ended with {self.process.returncode}:\n{self.log[-4000:]}")
            try:
                # The pid is asked for: a keeper that was killed may still seem to listen for a moment.
                return json.loads(request(self.socket, b'{"op":"hello"}'))["ok"]["pid"] == self.process.pid
            except (OSError, ValueError):
                return False

        until_sync(answers, timeout_s=_PATIENCE_S, what="the keeper to answer")


@contextmanager
def start_keeper(
    *arguments: str, uid: int | None = None, gid: int | None = None, uv: Path | None = None
) -> Generator[RunningKeeper]:
    """Start a keeper, with more *arguments* on its command line; at the end stop it and remove all that it made."""
    folder = Path(tempfile.mkdtemp(prefix="skep-"))
    folder.chmod(0o711)
    instance = "t" + folder.name.removeprefix("skep-").lower().replace("_", "0")
    run_dir, store_dir = folder / "run", folder / "store"
    ca_file = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    argv = (
        *(sys.executable, "-I", "-m", "skep_keeper", "--instance", instance),
        *("--run-dir", str(run_dir), "--store-dir", str(store_dir)),
        *("--uid", str(os.getuid() if uid is None else uid), "--gid", str(os.getgid() if gid is None else gid)),
        *("--uv", str(uv or Path(sysconfig.get_path("scripts")) / "uv"), "--ca-file", ca_file),
        *arguments,
    )
    log_file = folder / "keeper.log"
    keeper = RunningKeeper(
        instance=instance,
        run_dir=run_dir,
        store_dir=store_dir,
        log_file=log_file,
        argv=argv,
        process=_start(argv, log_file),
    )
    try:
        keeper.wait_ready()
        yield keeper
    finally:
        _clean(keeper)
        shutil.rmtree(folder)


def clear(instance: str, run_dir: Path, store_dir: Path, argv: tuple[str, ...], log_file: Path) -> None:
    """Remove the sandboxes of an installation that is stopped, by its keeper, started once more with *argv*."""
    keeper = RunningKeeper(
        instance=instance,
        run_dir=run_dir,
        store_dir=store_dir,
        log_file=log_file,
        argv=argv,
        process=_start(argv, log_file),
    )
    keeper.wait_ready()
    _clean(keeper)
    shutil.rmtree(run_dir, ignore_errors=True)


def request(path: Path, body: bytes) -> bytes:
    """Send one packet to a keeper and return the first packet of its answer; empty if it hung up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(60)
        client.connect(str(path))
        client.sendall(body)
        return client.recv(1 << 17)


def _start(argv: tuple[str, ...], log_file: Path) -> subprocess.Popen[bytes]:
    with log_file.open("ab") as log:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _clean(keeper: RunningKeeper) -> None:
    """Have every sandbox destroyed, by a keeper that lives, and the keeper ended."""
    try:
        if keeper.process.poll() is not None and keeper.socket.exists():
            keeper.restart()
        if keeper.process.poll() is None:
            keeper.destroy_all()
            keeper.stop()
    finally:
        if keeper.process.poll() is None:
            keeper.kill()
