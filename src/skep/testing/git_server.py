"""A real git server over HTTP(S), on a free port of the loopback: `git http-backend` behind Python's own server."""

import base64
import socket
import ssl
import subprocess
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

_GIT_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}


class Repository:
    """A repository on disk that tests commit to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", ".")

    def git(self, *arguments: str, stdin: Path | None = None) -> str:
        """Run git in the repository, reading what *stdin* names; return what it printed."""
        given = None if stdin is None else stdin.read_bytes()
        ran = subprocess.run(
            ("git", "-C", str(self.path), *arguments), check=True, capture_output=True, env=_GIT_ENV, input=given
        )
        return ran.stdout.decode("utf-8", "replace").strip()

    def commit(self, files: Mapping[str, str | bytes], message: str = "a change") -> str:
        """Write files and commit them; return the commit's hash."""
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        self.git("update-server-info")
        return self.git("rev-parse", "HEAD")


@dataclass(slots=True)
class GitServer:
    """A server of all repositories below a folder.

    Below `/<name>` git's own protocol is spoken; below `/dumb/<name>` files are served as they lie, as a plain
    web server does; below `/private/<name>` only those get anything who show one of `passwords`; `/moved/` leads to
    the same place at `elsewhere`; whoever asks for `/hold/<name>` waits until `release` is called, and is then served.
    """

    root: Path
    port: int
    #: "METHOD /path" of each request, in order.
    requests: list[str] = field(default_factory=list[str])
    #: User and password as they came, of each request that had them.
    shown: list[str] = field(default_factory=list[str])
    #: "user:password" of those who may read private repositories.
    passwords: set[str] = field(default_factory=set[str])
    #: Command lines and environments of all processes, as they were while somebody private was served last.
    processes: bytes = b""
    #: Where `/moved/` leads.
    elsewhere: str = ""
    scheme: str = "http"
    _held: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        """host:port, as the operator's lists name it."""
        return f"127.0.0.1:{self.port}"

    def url(self, name: str) -> str:
        """Return the address of a repository."""
        return f"{self.scheme}://{self.host}/{name}"

    def repository(self, name: str) -> Repository:
        """Make an empty repository."""
        return Repository(self.root / name)

    def release(self) -> None:
        """Let all who wait below `/hold/` go on."""
        self._held.set()

    def hold(self) -> None:
        """Let those wait who ask for something below `/hold/` from now on, as at the beginning."""
        self._held.clear()

    def wait_released(self) -> None:
        """Block until `release` is called."""
        self._held.wait(60)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def processes() -> bytes:
    """Return command lines and environments of all processes on this machine that may be read."""
    found: list[bytes] = []
    for place in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
        with suppress(OSError):
            found.append(place.read_bytes())
    return b"\n".join(found)


@contextmanager
def serve_git(root: Path, certificate: Path | None = None) -> Generator[GitServer]:
    """Serve the repositories below *root* until the block is left; with a *certificate* (and its key) over TLS."""
    root.mkdir(parents=True, exist_ok=True)
    server = GitServer(root=root, port=0, scheme="http" if certificate is None else "https")

    class Handler(_Handler):
        git = server

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.port = http.server_address[1]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # Hands are shaken by the thread that serves, not by the one that accepts.
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, name="git-server")
    thread.start()
    try:
        yield server
    finally:
        server.release()
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    git: GitServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing."""

    def _serve(self, body: bytes) -> None:
        self.git.requests.append(f"{self.command} {self.path}")
        parts = urlsplit(self.path)
        if parts.path.startswith("/hold/"):
            self.git.wait_released()
            self._serve_git(parts.path.removeprefix("/hold"), parts.query, body)
        elif parts.path.startswith("/moved/"):
            where = self.git.elsewhere + self.path.removeprefix("/moved")
            self._send(302, {"Location": where}, b"")
        elif parts.path.startswith("/private/"):
            if self._let_in():
                self._serve_git(parts.path.removeprefix("/private"), parts.query, body)
            else:
                self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        elif parts.path.startswith("/dumb/"):
            self._serve_file(parts.path.removeprefix("/dumb/"))
        else:
            self._serve_git(parts.path, parts.query, body)

    def _let_in(self) -> bool:
        kind, _, shown = self.headers.get("Authorization", "").partition(" ")
        if kind != "Basic":
            return False
        pair = base64.b64decode(shown).decode()
        self.git.shown.append(pair)
        self.git.processes = processes()
        return pair in self.git.passwords

    def _serve_file(self, path: str) -> None:
        name, _, rest = path.partition("/")
        file = self.git.root / name / ".git" / rest
        if file.is_file():
            self._send(200, {"Content-Type": "application/octet-stream"}, file.read_bytes())
        else:
            self._send(404, {}, b"")

    def _serve_git(self, path: str, query: str, body: bytes) -> None:
        env = {
            **_GIT_ENV,
            "GIT_PROJECT_ROOT": str(self.git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": self.client_address[0],
            # The server is often another user than the one who made the repository.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        ran = subprocess.run(("git", "http-backend"), input=body, capture_output=True, env=env, check=False)
        head, _, answer = ran.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        # Its exit code tells nothing: an error for the client goes out as an ordinary answer.
        status = int(headers.pop("Status", "200 OK" if headers else "500 failed").split(" ")[0])
        self._send(status, headers, answer)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            # Whoever asked has gone away.
            self.close_connection = True
