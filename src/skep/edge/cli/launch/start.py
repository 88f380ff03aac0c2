"""The user's side of the launcher: makes its orders out of the settings, starts it, and hears what it says."""

import importlib.util
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import SecretStr

from skep.edge.cli.launch.config import LaunchConfig, passed_on
from skep.edge.cli.launch.operator import handed_on
from skep.kernel.errors import InvalidError, UnavailableError
from skep.kernel.settings import Settings

_SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
#: Where layers and disks are kept when the data folder lies in somebody's home, or its path is not plain.
_KEEPERS = Path("/var/lib/skep-keeper")
#: As `skep_keeper.files` has it.
_PLAIN = re.compile(r"/[A-Za-z0-9._/+@=-]*")
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def orders(settings: Settings, environ: Mapping[str, str], *, detach: bool) -> LaunchConfig:
    """Make the launcher's orders; every path is absolute, every setting that was given is passed on."""
    ordinary = os.geteuid() != 0
    data = _absolute(settings.data_dir)
    settings = settings.model_copy(update={"data_dir": data})
    env = passed_on(environ) | given(settings) | handed_on(environ)
    authorities = settings.ca_file or environ.get("SSL_CERT_FILE") or environ.get("PIP_CERT")
    if authorities:
        env["SKEP_CA_FILE"] = str(Path(authorities).absolute())
    return LaunchConfig(
        instance=settings.instance,
        data_dir=str(data),
        state_dir=str(settings.state_dir),
        keeper_dir=str(settings.keeper_dir if roots_own(data) and is_plain(data) else _KEEPERS / settings.instance),
        run_dir=str(_plain(_absolute(settings.instance_run_dir), "SKEP_RUN_DIR")),
        admin_token_file=str(settings.admin_token_file),
        keeper_socket=str(settings.keeper_socket.absolute()),
        server_user=settings.server_user,
        uid=os.getuid() if ordinary else None,
        gid=os.getgid() if ordinary else None,
        host=settings.host,
        port=settings.port,
        port_fixed="port" in settings.model_fields_set,
        tls_cert=str(settings.tls_cert.absolute()) if settings.tls_cert else None,
        tls_key=str(settings.tls_key.absolute()) if settings.tls_key else None,
        python=sys.executable,
        code=code_paths(),
        uv=uv_path(),
        ca_file=env.get("SKEP_CA_FILE", _SYSTEM_CA),
        env=env,
        detach=detach,
    )


def _absolute(path: Path) -> Path:
    """Return *path* from the root on; links stay, but for those that a `..` would make ambiguous."""
    return path.resolve() if ".." in path.parts else path.absolute()


def is_plain(path: Path) -> bool:
    """Tell whether the keeper takes a path: it stands in options of mounts, where spaces and commas mean something."""
    return _PLAIN.fullmatch(str(path)) is not None


def _plain(path: Path, setting: str) -> Path:
    if not is_plain(path):
        raise InvalidError(
            f"the folder {str(path)!r} cannot be used: letters, digits and . _ / + @ = - are all that may be in it",
            code="folder_unusable",
            hint=f"choose another with {setting}",
        )
    return path


def roots_own(folder: Path) -> bool:
    """Tell whether nobody but root could put another folder in this one's place."""
    return all(part.stat().st_uid == 0 for part in (folder, *folder.parents) if part.exists())


def given(settings: Settings) -> dict[str, str]:
    """Write the settings that were set, from wherever they came, as environment variables."""
    return {f"SKEP_{name.upper()}": _text(getattr(settings, name)) for name in sorted(settings.model_fields_set)}


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, Path):
        return str(value.absolute())
    return str(value)


def code_paths() -> tuple[str, ...]:
    """List the folders that Python needs to run Skep: its own, the environment's, and the packages'."""
    found = [sys.prefix, sys.base_prefix]
    for package in ("skep", "skep_guest", "skep_keeper", "skep_supervisor"):
        spec = importlib.util.find_spec(package)
        found += [str(Path(folder).parent) for folder in (spec.submodule_search_locations or ())] if spec else []
    return tuple(dict.fromkeys(found))


def uv_path() -> str:
    """Return the uv that came with Skep, else the one on PATH."""
    own = Path(sysconfig.get_path("scripts")) / "uv"
    path = str(own) if own.exists() else shutil.which("uv")
    if path is None:
        raise UnavailableError("uv is missing", code="uv_missing", hint=f"{sys.executable} -m pip install uv")
    return path


def require_isolation(environ: Mapping[str, str]) -> None:
    """Refuse to start where no sandbox can be made."""
    if shutil.which("runc", path=f"{environ.get('PATH', '')}:{_SBIN}") is None:
        raise UnavailableError(
            "runc is missing; without it there is no isolation, and Skep does not run without",
            code="runc_missing",
            hint="apt-get install -y runc" if os.geteuid() == 0 else "sudo apt-get install -y runc",
        )


def as_root_argv(config: LaunchConfig, verb: str, *, euid: int) -> tuple[str, ...]:
    """Return the command that starts the launcher as root: directly, or by password-less sudo."""
    argv = (config.python, "-I", "-m", "skep.edge.cli.launch", verb)
    return argv if euid == 0 else ("sudo", "-n", "--", *argv)


@contextmanager
def launcher(config: LaunchConfig, verb: str) -> Generator["Launcher"]:
    """Start the root process and give it its orders; an attached one ends with this block."""
    euid = os.geteuid()
    if euid != 0 and not _may_sudo():
        name = pwd.getpwuid(euid).pw_name
        raise UnavailableError(
            f"making sandboxes needs root, and {name} has no password-less sudo",
            code="root_needed",
            hint=f"sudo {' '.join(sys.argv)}",
        )
    process = subprocess.Popen(
        as_root_argv(config, verb, euid=euid),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if config.detach else None,
        cwd="/",
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(config.to_json().encode() + b"\n")
        process.stdin.flush()
        yield Launcher(process, process.stdin, process.stdout)
    finally:
        process.stdin.close()
        if not config.detach:
            process.wait()
        process.stdout.close()
        # A detached launcher outlives us on purpose; nothing is to be said about that at our end.
        process.returncode = process.returncode or 0


def _may_sudo() -> bool:
    if shutil.which("sudo") is None:
        return False
    return subprocess.run(("sudo", "-n", "true"), capture_output=True, check=False).returncode == 0


class Launcher:
    """A started root process."""

    def __init__(self, process: subprocess.Popen[bytes], orders_to: IO[bytes], answers: IO[bytes]) -> None:
        self._process = process
        self._orders = orders_to
        self._answers = answers

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield what it says, until it ends."""
        for line in self._answers:
            yield json.loads(line)

    def stop(self) -> None:
        """Have an attached launcher end; it says when it has."""
        self._orders.close()
