"""A whole installation of Skep for a test: launcher, keeper and server as real processes in folders of their own."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skep.kernel.settings import Settings
from skep.testing.keeper import clear
from skep.testing.wait import until_sync


@dataclass(slots=True, kw_only=True)
class Installation:
    """A running installation, and the means to hurt it."""

    settings: Settings
    launcher: subprocess.Popen[bytes]
    url: str = ""
    token: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def log_file(self) -> Path:
        """Where all three processes write their logs."""
        return self.settings.data_dir.parent / "skep.log"

    def pid(self, process: str) -> int | None:
        """Return the pid of "launcher", "keeper" or "server", if its file names a living process."""
        try:
            pid = int((self.settings.instance_run_dir / f"{process}.pid").read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def kill(self, process: str) -> int | None:
        """Send SIGKILL to "keeper" or "server"; return the pid that was hit."""
        pid = self.pid(process)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid

    def ready(self) -> bool:
        """Tell whether the server answers that it can work."""
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=5) as answer:  # noqa: S310  our own server
                return answer.status == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Wait until the server answers that it can work."""
        until_sync(self.ready, timeout_s=timeout_s, what="the server to be ready")

    def call(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """Send one request to the native API and return the decoded JSON answer.

        Raises:
            urllib.error.HTTPError: the answer is an error.
            OSError: there is no answer, or only the beginning of one.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  the URL is our own server's
            self.url + path,
            data=data,
            method=method,
            headers={"Authorization": f"Bearer {self.token}", **(headers or {})},
        )
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                raw = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        return json.loads(raw) if raw else None

    def cli(self, *arguments: str, check: bool = True, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run the `skep` command against this installation."""
        result = subprocess.run(
            [sys.executable, "-m", "skep.edge.cli.main", *arguments],
            env={**self.environment, "SKEP_DATA_DIR": str(self.settings.data_dir), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"skep {' '.join(arguments)}: {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result


@contextmanager
def installation(root: Path | None = None, **environment: str) -> Generator[Installation]:
    """Start an installation in a new folder (or below *root*), with `SKEP_*` from *environment*; stop and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="skep-")) if root is None else root
    folder.chmod(0o755)
    settings = Settings(data_dir=folder / "data")
    variables = {
        **os.environ,  # noqa: TID251  a child process inherits the test's environment
        "SKEP_DATA_DIR": str(settings.data_dir),
        **environment,
    }
    with (folder / "skep.log").open("ab") as log:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "skep.edge.cli.main", "up", "--port", "0"], env=variables, stdout=log, stderr=log
        )
    made = Installation(settings=settings, launcher=launcher, environment=variables)
    try:
        _wait_for_start(made)
        yield made
    finally:
        keeper = _arguments(made.pid("keeper"))
        _stop(made)
        if root is None:
            if keeper:
                # Sandboxes outlive the installation by design; a test's must not outlive the test.
                clear(settings.instance, settings.instance_run_dir, settings.keeper_dir, keeper, made.log_file)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for_start(made: Installation) -> None:
    address = made.settings.data_dir / "server.json"

    def started() -> bool:
        if made.launcher.poll() is not None:
            raise AssertionError(f"skep up ended with {made.launcher.returncode}:\n{made.log_file.read_text()[-4000:]}")
        # A launcher that was killed has left its address.
        mine = address.exists() and json.loads(address.read_text())["pid"] == made.pid("launcher")
        return mine and bool(made.settings.admin_token_file.read_text().strip())

    until_sync(started, timeout_s=60, what="skep up to write its address")
    made.url = str(json.loads(address.read_text())["url"])
    made.token = made.settings.admin_token_file.read_text().strip()
    made.wait_ready()


def _stop(made: Installation) -> None:
    made.launcher.send_signal(signal.SIGTERM)
    try:
        made.launcher.wait(30)
    except subprocess.TimeoutExpired:
        made.launcher.kill()
        made.launcher.wait()


def _arguments(pid: int | None) -> tuple[str, ...]:
    """Return the command line of a process, empty when it is gone."""
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1])
    except OSError:
        return ()
