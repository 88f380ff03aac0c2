"""A real sshd that serves git repositories, on a free port of the loopback; its keys and its users are a test's own."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skep.testing.git_server import Repository, free_port
from skep.testing.wait import until_sync

_SSHD = "/usr/sbin/sshd"
#: sshd has each connection's unprivileged part live in this empty folder; its path is compiled in.
_EMPTY = Path("/run/sshd")
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {host_key}
PidFile none
AuthorizedKeysFile {authorized}
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserEnvironment no
StrictModes no
UsePAM no
AllowTcpForwarding no
AllowAgentForwarding no
X11Forwarding no
LogLevel VERBOSE
"""
#: git-shell knows no folder that all paths are below.
_SHELL = """\
#!/bin/sh
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >{folder}/processes 2>/dev/null
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="*"
case "$SSH_ORIGINAL_COMMAND" in
"git-upload-pack '/"*) exec git-shell -c "git-upload-pack '{root}/${{SSH_ORIGINAL_COMMAND#*/}}" ;;
*) echo "only git may be spoken here" >&2; exit 1 ;;
esac
"""


@dataclass(slots=True)
class SshServer:
    """A server of all repositories below a folder, for those whose key was let in."""

    root: Path
    folder: Path
    port: int
    user: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """host:port, as the operator's lists name it."""
        return f"127.0.0.1:{self.port}"

    @property
    def fingerprint(self) -> str:
        """Its key's fingerprint, as ssh shows it."""
        shown = _run("ssh-keygen", "-l", "-f", f"{self.folder / 'host_key'}.pub")
        return shown.split()[1]

    @property
    def known_hosts(self) -> str:
        """The line of a known_hosts file that knows it."""
        kind, key = (self.folder / "host_key.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    @property
    def log(self) -> str:
        """What sshd has written."""
        return (self.folder / "log").read_text()

    @property
    def processes(self) -> bytes:
        """Command lines and environments of all processes, as they were while somebody was served last."""
        return (self.folder / "processes").read_bytes()

    def url(self, name: str) -> str:
        """Return the address of a repository."""
        return f"ssh://{self.user}@{self.host}/{name}"

    def repository(self, name: str) -> Repository:
        """Make an empty repository."""
        return Repository(self.root / name)

    def let_in(self, public_key: str) -> None:
        """Take a deploy key: it may read the repositories, and nothing else."""
        options = f'restrict,command="{self.folder / "shell"}"'
        with (self.folder / "authorized").open("a") as file:
            file.write(f"{options} {public_key.strip()}\n")

    def change_key(self) -> None:
        """Become a server with another key, on the same port."""
        self.stop()
        for file in self.folder.glob("host_key*"):
            file.unlink()
        make_key(self.folder / "host_key")
        self.start()

    def start(self) -> None:
        """Serve; returns when connections are taken."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                (_SSHD, "-D", "-e", "-f", str(self.folder / "config")), stdin=subprocess.DEVNULL, stderr=log
            )
        until_sync(lambda: "Server listening" in self.log, timeout_s=20, what="sshd to listen")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None
            (self.folder / "log").write_text("")


def make_key(path: Path, *, passphrase: str = "", kind: str = "ed25519") -> str:
    """Make a key pair at *path*; return the public key."""
    _run("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path))
    return path.with_name(path.name + ".pub").read_text().strip()


@contextmanager
def serve_ssh(root: Path) -> Generator[SshServer]:
    """Serve the repositories below *root* until the block is left."""
    root.mkdir(parents=True, exist_ok=True)
    _EMPTY.mkdir(mode=0o755, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="skep-sshd-") as name:
        folder = Path(name)
        server = SshServer(root=root, folder=folder, port=free_port(), user=pwd.getpwuid(os.geteuid()).pw_name)
        make_key(folder / "host_key")
        (folder / "authorized").touch()
        (folder / "shell").write_text(_SHELL.format(root=root, folder=folder))
        (folder / "shell").chmod(0o755)
        config = _CONFIG.format(port=server.port, host_key=folder / "host_key", authorized=folder / "authorized")
        (folder / "config").write_text(config)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
