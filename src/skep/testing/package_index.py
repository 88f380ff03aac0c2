"""A real package index over HTTP(S), on a free port of the loopback: Python's simple API and npm's registry."""

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from skep.testing.packages import Package

_JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(slots=True)
class PackageIndex:
    """What is served: `/simple/NAME/`, `/files/FILENAME`, `/npm/NAME` and `/npm/NAME/-/FILENAME`.

    It may be made to want a password, to fail, to lie, to lead elsewhere, and to wait.
    """

    port: int = 0
    scheme: str = "http"
    address: str = "127.0.0.1"
    python: list[Package] = field(default_factory=list[Package])
    npm: list[Package] = field(default_factory=list[Package])
    #: Pages are HTML (PEP 503), as old indexes have them.
    html: bool = False
    #: Wheels' metadata is served beside them (PEP 658).
    metadata: bool = True
    #: So many bytes come before what a page says.
    padding: int = 0
    #: Header of the pages.
    cache_control: str = ""
    #: What the pages say that they are written in; they are UTF-8.
    charset: str = ""
    #: The whole header Authorization that everything wants, "" for nothing.
    authorization: str = ""
    #: Path -> how often it still answers 503.
    failing: dict[str, int] = field(default_factory=dict[str, int])
    #: Path -> how often its body still ends after half of it.
    breaking: dict[str, int] = field(default_factory=dict[str, int])
    #: Path -> other bytes than those that the page speaks of.
    tampered: dict[str, bytes] = field(default_factory=dict[str, bytes])
    #: Path -> where it leads.
    moved: dict[str, str] = field(default_factory=dict[str, str])
    #: Paths that wait half-way until `release`.
    held: set[str] = field(default_factory=set[str])
    #: Address of the files, if it is not the index' own.
    files_at: str = ""
    #: Paths of all requests, in order.
    requests: list[str] = field(default_factory=list[str])
    #: Authorization as it came, of each request that had it.
    shown: list[str] = field(default_factory=list[str])
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        """host:port."""
        return f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"{self.scheme}://{self.host}"

    @property
    def simple(self) -> str:
        """The address of the Python index."""
        return f"{self.url}/simple"

    def count(self, path: str) -> int:
        """Return how often *path* was asked for."""
        return self.requests.count(path)

    def hold(self, path: str) -> None:
        """Let those who ask for a file wait half-way, until `release`."""
        self.held.add(path)
        self.released.clear()

    def release(self) -> None:
        """Let those go on that are held."""
        self.released.set()

    def want(self, user: str, password: str) -> None:
        """Want a password from now on."""
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")

    # ---- pages, as text

    def page(self, name: str, *, html: bool) -> str | None:
        """Return the page of a project, None if there is none."""
        files = [package for package in self.python if package.name == name]
        if not files:
            return None
        if html:
            return "<!DOCTYPE html><html><body>" + "".join(map(self._link, files)) + "</body></html>"
        return json.dumps(
            {"meta": {"api-version": "1.0"}, "name": name, "files": [self._entry(file) for file in files]}
        )

    def packument(self, name: str) -> str | None:
        """Return the document of an npm package, None if there is none."""
        found = [package for package in self.npm if package.name == name]
        if not found:
            return None
        base = self.files_at or self.url
        versions = {
            package.version: {
                **json.loads(package.metadata),
                "dist": {
                    "tarball": f"{base}/npm/{name}/-/{package.filename}",
                    "integrity": package.integrity,
                    "shasum": hashlib.sha1(package.data).hexdigest(),  # noqa: S324  npm's own field
                },
            }
            for package in found
        }
        return json.dumps({"name": name, "dist-tags": {"latest": found[-1].version}, "versions": versions})

    def file(self, path: str) -> bytes | None:
        """Return what lies at *path*, None if nothing does."""
        if path in self.tampered:
            return self.tampered[path]
        for package in self.python:
            if path == f"/files/{package.filename}":
                return package.data
            if path == f"/files/{package.filename}.metadata" and self._has_metadata(package):
                return package.metadata
        return next((p.data for p in self.npm if path == f"/npm/{p.name}/-/{p.filename}"), None)

    def _has_metadata(self, package: Package) -> bool:
        return self.metadata and package.filename.endswith(".whl")

    def _link(self, package: Package) -> str:
        url = (
            f"{self.files_at or '..'}{'' if self.files_at else '/..'}/files/{package.filename}#sha256={package.sha256}"
        )
        said = f' data-core-metadata="sha256={_sha256(package.metadata)}"' if self._has_metadata(package) else ""
        return f'<a href="{url}"{said}>{package.filename}</a><br>'

    def _entry(self, package: Package) -> dict[str, object]:
        said = {"core-metadata": {"sha256": _sha256(package.metadata)}} if self._has_metadata(package) else {}
        url = f"{self.files_at}/files/{package.filename}"
        return {"filename": package.filename, "url": url, "hashes": {"sha256": package.sha256}, **said}


@contextmanager
def serve_index(certificate: Path | None = None, *, address: str = "127.0.0.1") -> Generator[PackageIndex]:
    """Serve an index until the block is left; with a *certificate* (and its key) over TLS."""
    index = PackageIndex(scheme="http" if certificate is None else "https", address=address)

    class Handler(_Handler):
        served = index

    http = ThreadingHTTPServer((address, 0), Handler)
    http.daemon_threads = True
    index.port = http.server_address[1]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # Hands are shaken by the thread that serves, not by the one that accepts.
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, name="package-index")
    thread.start()
    try:
        yield index
    finally:
        index.release()
        http.shutdown()
        thread.join()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: PackageIndex
    protocol_version = "HTTP/1.1"
    # What keeps a connection open for another request is not to keep its thread for ever.
    timeout = 30

    def do_GET(self) -> None:
        index, path = self.served, unquote(urlsplit(self.path).path)
        index.requests.append(path)
        shown = self.headers.get("Authorization", "")
        if shown:
            index.shown.append(shown)
        if index.authorization and shown != index.authorization:
            self._send(401, {"WWW-Authenticate": 'Basic realm="index"'}, b"")
        elif path in index.moved:
            self._send(302, {"Location": index.moved[path]}, b"")
        elif self._counts(index.failing, path):
            self._send(503, {}, b"")
        else:
            self._answer(path)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing."""

    def _counts(self, left: dict[str, int], path: str) -> bool:
        if left.get(path, 0) <= 0:
            return False
        left[path] -= 1
        return True

    def _answer(self, path: str) -> None:
        index = self.served
        if path.startswith("/simple/"):
            html = index.html or _JSON not in self.headers.get("Accept", "")
            page, kind = index.page(path.split("/")[2], html=html), "text/html" if html else _JSON
        elif path.startswith("/npm/") and "/-/" not in path:
            page, kind = index.packument(path.removeprefix("/npm/")), "application/json"
        else:
            self._file(path)
            return
        if page is None:
            self._send(404, {}, b"")
            return
        etag = f'"{_sha256(page.encode())}"'
        charset = f"; charset={index.charset}" if index.charset else ""
        headers = {"Content-Type": kind + charset, "ETag": etag}
        if index.cache_control:
            headers["Cache-Control"] = index.cache_control
        same = self.headers.get("If-None-Match") == etag
        self._send(304 if same else 200, headers, b"" if same else b" " * index.padding + page.encode())

    def _file(self, path: str) -> None:
        data = self.served.file(path)
        if data is None:
            self._send(404, {}, b"")
        elif self._counts(self.served.breaking, path):
            self._send(200, {}, data[: len(data) // 2], length=len(data))
            self.close_connection = True
        elif path in self.served.held:
            self._send(200, {}, data[: len(data) // 2], length=len(data))
            self.served.released.wait(60)
            self.wfile.write(data[len(data) // 2 :])
        else:
            self._send(200, {"Content-Type": "application/octet-stream"}, data)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, length: int | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            # Whoever asked has gone away.
            self.close_connection = True


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
