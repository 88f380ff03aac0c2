"""What the launcher is told: one value, made by the user's `skep up`, read by the root process from its stdin."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchConfig:
    """Everything that the launcher needs; nothing is read from its own environment or working folder."""

    instance: str
    #: Folders and files of the installation, absolute.
    data_dir: str
    state_dir: str
    keeper_dir: str
    run_dir: str
    admin_token_file: str
    keeper_socket: str
    #: The system user that the server becomes; made when missing. Ignored when `uid` is given.
    server_user: str
    #: The ordinary user who called `skep up`, when one did: the server becomes this user.
    uid: int | None = None
    gid: int | None = None
    #: Where to listen. A port that is not `port_fixed` may be replaced by a free one.
    host: str
    port: int
    port_fixed: bool
    tls_cert: str | None = None
    tls_key: str | None = None
    #: The interpreter, and the folders and files that it needs to run the code.
    python: str
    code: tuple[str, ...]
    uv: str
    ca_file: str
    #: The server's environment: settings and the few variables of `PASSED_ON`.
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    #: False: the launcher ends when its stdin is closed.
    detach: bool = False

    @property
    def scheme(self) -> str:
        """Say how the server is spoken to."""
        return "https" if self.tls_cert else "http"

    @property
    def lock_file(self) -> str:
        """The file whose lock the one launcher of a data folder holds."""
        return f"{self.data_dir}/launcher.lock"

    @property
    def server_json(self) -> str:
        """Where the URL of the running server stands, for the CLI."""
        return f"{self.data_dir}/server.json"

    @property
    def log_file(self) -> str:
        """Where a detached launcher and its children write their log."""
        return f"{self.data_dir}/skep.log"

    def pid_file(self, name: str) -> str:
        """Where the process id of launcher, keeper or server stands, without the suffix `.pid`."""
        return f"{self.run_dir}/{name}"

    def to_json(self) -> str:
        """Return the value as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "LaunchConfig":
        """Read what `to_json` wrote."""
        values = json.loads(line)
        values["code"] = tuple(values["code"])
        return cls(**values)


#: Variables that keeper and server take over from the user who starts them; all else stays out.
PASSED_ON = frozenset(
    {
        *("PATH", "LANG", "LANGUAGE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
        *("http_proxy", "https_proxy", "no_proxy", "all_proxy"),
    }
)
_PASSED_PREFIXES = ("LC_", "SKEP_")
#: Meant for the CLI, and one of them a credential.
_KEPT_BACK = frozenset({"SKEP_URL", "SKEP_TOKEN", "SKEP_PROJECT"})


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Choose from *environ* what the children may see."""
    return {
        name: value
        for name, value in environ.items()
        if name not in _KEPT_BACK and (name in PASSED_ON or name.startswith(_PASSED_PREFIXES))
    }


def keeper_argv(config: LaunchConfig, uid: int, gid: int) -> tuple[str, ...]:
    """Return the command that starts the keeper."""
    return (
        *(config.python, "-I", "-m", "skep_keeper"),
        *("--instance", config.instance),
        *("--run-dir", config.run_dir),
        *("--store-dir", config.keeper_dir),
        *("--uid", str(uid), "--gid", str(gid)),
        *("--uv", config.uv, "--ca-file", config.ca_file),
    )


def server_argv(config: LaunchConfig, listen_fd: int) -> tuple[str, ...]:
    """Return the command that starts the server on an open listening socket."""
    return (config.python, "-I", "-m", "skep.edge.cli", "serve", "--fd", str(listen_fd))


def server_env(config: LaunchConfig, *, port: int, tls: tuple[str, str] | None) -> dict[str, str]:
    """Return the server's environment: what was passed on, and the places that the launcher prepared."""
    env = dict(config.env)
    env |= {
        "SKEP_DATA_DIR": config.data_dir,
        "SKEP_RUN_DIR": config.run_dir.rsplit("/", 1)[0],
        "SKEP_HOST": config.host,
        "SKEP_PORT": str(port),
        "HOME": config.state_dir,
        "PYTHONUNBUFFERED": "1",
    }
    if tls:
        env |= {"SKEP_TLS_CERT": tls[0], "SKEP_TLS_KEY": tls[1]}
    return env


def keeper_env(config: LaunchConfig) -> dict[str, str]:
    """Return the keeper's environment: almost nothing."""
    path = config.env.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    return {"PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
