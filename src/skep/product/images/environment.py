"""The environments in which a build's commands run. Pure."""

from collections.abc import Mapping

from skep.product.images.places import ENVIRONMENT, PYTHON

DOOR_PORT = 80

_PROXY = f"http://127.0.0.1:{DOOR_PORT}"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

#: Of every command. curl, and so git, reads only the lower-case name for plain http.
BASE: Mapping[str, str] = {
    "HOME": "/home/agent",
    "PATH": "/opt/skep/bin:/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108  inside a sandbox of our own
    "NO_COLOR": "1",
    "HTTP_PROXY": _PROXY,
    "HTTPS_PROXY": _PROXY,
    "http_proxy": _PROXY,
    "https_proxy": _PROXY,
    "SSL_CERT_FILE": _CERTIFICATES,
}


def installing(index_url: str | None) -> Mapping[str, str]:
    """Return the environment of uv; *index_url* None is the public index."""
    env = {
        **BASE,
        "UV_CACHE_DIR": "/tmp/uv-cache",  # noqa: S108  inside a sandbox of our own
        "UV_COMPILE_BYTECODE": "1",
        "UV_LINK_MODE": "copy",
        "UV_NO_PROGRESS": "1",
        "UV_PROJECT_ENVIRONMENT": ENVIRONMENT,
        "UV_PYTHON": PYTHON,
        "UV_PYTHON_DOWNLOADS": "never",
        "VIRTUAL_ENV": ENVIRONMENT,
    }
    return env if index_url is None else {**env, "UV_DEFAULT_INDEX": index_url}
