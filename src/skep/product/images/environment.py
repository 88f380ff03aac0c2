"""The environments in which a build's commands run. Pure; nothing in them is secret: the door adds credentials."""

from collections.abc import Mapping

from skep.product.images.planning.places import ENVIRONMENT, NODE_BIN, PYTHON, TMP

DOOR_PORT = 80

_DOOR = f"http://127.0.0.1:{DOOR_PORT}"
#: What the door itself answers is asked of it directly. Port 80 is left out, as those who write such addresses do.
_SITES = "http://127.0.0.1"
#: A flat page of exactly the files that are locked.
LOCKED_SITE = f"{_SITES}/locked/"
#: The operator's indexes of Python packages, as one.
PYTHON_SITE = f"{_SITES}/pypi/simple"
#: The operator's npm registry.
NPM_SITE = f"{_SITES}/npm/"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_PATH = "/opt/skep/bin:/usr/local/bin:/usr/bin:/bin"

#: Of every command. curl, and so git, reads only the lower-case name for plain http.
BASE: Mapping[str, str] = {
    "HOME": "/home/agent",
    "PATH": _PATH,
    "LANG": "C.UTF-8",
    "TMPDIR": TMP,
    "NO_COLOR": "1",
    "HTTP_PROXY": _DOOR,
    "HTTPS_PROXY": _DOOR,
    "http_proxy": _DOOR,
    "https_proxy": _DOOR,
    "SSL_CERT_FILE": _CERTIFICATES,
}

#: Not of every command: a repository or a mirror on the machine itself is reached through the door, too.
_DIRECT: Mapping[str, str] = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}

_UV: Mapping[str, str] = {
    **BASE,
    "UV_CACHE_DIR": f"{TMP}/uv-cache",
    # What is sealed is a copy of its own; the cache goes with its sandbox.
    "UV_LINK_MODE": "hardlink",
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_DOWNLOADS": "never",
}

#: Of the commands that find out what is needed, beside the source.
LOCKING: Mapping[str, str] = {**_UV, **_DIRECT, "UV_DEFAULT_INDEX": PYTHON_SITE, "UV_PYTHON": PYTHON}

#: Of those that fill a shared layer: uv heeds no file but those it is given.
SHARED: Mapping[str, str] = {**_UV, **_DIRECT, "UV_NO_CONFIG": "1"}

#: Of those that install what runs code, into an environment that is there.
PRIVATE: Mapping[str, str] = {
    **_UV,
    **_DIRECT,
    "PATH": f"{ENVIRONMENT}/bin:{_PATH}",
    "UV_DEFAULT_INDEX": PYTHON_SITE,
    "VIRTUAL_ENV": ENVIRONMENT,
}

#: Of npm, and of what a project of Node runs.
NPM: Mapping[str, str] = {
    **BASE,
    **_DIRECT,
    "PATH": f"{NODE_BIN}:{_PATH}",
    "npm_config_registry": NPM_SITE,
    # A lock of the operator's own registry names its host, where a sandbox has no credentials.
    "npm_config_replace_registry_host": "always",
    "npm_config_cache": f"{TMP}/npm-cache",
    "npm_config_update_notifier": "false",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
}

#: Of the command that fetches a copy of Python; where from comes on top.
PYTHON_COPY: Mapping[str, str] = {**_UV, "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "manual"}
