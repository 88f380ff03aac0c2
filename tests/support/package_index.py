"""A package index on the loopback that wants user and password: Python's simple API below /simple/, npm's registry."""

import base64
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from package_files import PackageFile, npm_integrity


@dataclass(slots=True)
class PackageIndex:
    """What is served, to whom, and what was asked for."""

    user: str
    password: str
    port: int = 0
    #: Project -> its files.
    projects: dict[str, list[PackageFile]] = field(default_factory=dict[str, list[PackageFile]])
    #: Path and value of Authorization of each request, in order.
    requests: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    #: Answers everybody with 503.
    down: bool = False

    @property
    def host(self) -> str:
        """host:port, as the operator's lists name it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where Python's part is, with user and password, as an operator sets it."""
        return f"http://{self.user}:{self.password}@{self.host}/simple/"

    @property
    def plain_url(self) -> str:
        """The same without them, as a lock has it."""
        return f"http://{self.host}/simple/"

    @property
    def npmrc(self) -> str:
        """What an operator has in `.npmrc`."""
        return f"registry=http://{self.host}/npm/\n//{self.host}/npm/:_auth={self._basic}\n"

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that nobody in a sandbox may read."""
        return (self.password, self._basic)

    @property
    def _basic(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def add(self, *files: PackageFile) -> None:
        """Serve *files* from now on."""
        for file in files:
            self.projects.setdefault(file.project, []).append(file)

    def file_url(self, file: PackageFile) -> str:
        """Return where a file lies."""
        return f"http://{self.host}/files/{file.filename}"

    def tarball_url(self, file: PackageFile) -> str:
        """Return where a file of npm lies, as its registry has them."""
        return f"http://{self.host}/npm/{file.project}/-/{file.filename}"

    def answer(self, path: str, authorization: str) -> tuple[int, str, bytes]:
        """Return status, type and body of what is at *path*."""
        self.requests.append((path, authorization))
        if self.down:
            return 503, "text/plain", b"down for maintenance"
        if authorization != f"Basic {self._basic}":
            return 401, "text/plain", b"who are you?"
        kind, _, name = path.strip("/").partition("/")
        if kind == "npm" and "/-/" in name:
            kind, name = "files", name.rpartition("/-/")[2]
        files = [file for every in self.projects.values() for file in every]
        if kind == "files":
            found = next((file for file in files if file.filename == name), None)
            return (200, "application/octet-stream", found.content) if found else (404, "text/plain", b"no such file")
        if name not in self.projects:
            return 404, "text/plain", b"no such project"
        if kind == "simple":
            links = "".join(
                f'<a href="/files/{file.filename}#sha256={file.sha256}">{file.filename}</a>\n'
                for file in self.projects[name]
            )
            return 200, "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
        return 200, "application/json", json.dumps(self._npm(name)).encode()

    def _npm(self, name: str) -> dict[str, object]:
        versions = {
            _version(file): {
                "name": name,
                "version": _version(file),
                "hasInstallScript": True,
                "dist": {"tarball": self.tarball_url(file), "integrity": npm_integrity(file)},
            }
            for file in self.projects[name]
        }
        return {"name": name, "dist-tags": {"latest": max(versions)}, "versions": versions}


@contextmanager
def serve_packages(user: str = "operator", password: str = "hunter2-of-the-index") -> Generator[PackageIndex]:
    """Serve an index until the block is left."""
    index = PackageIndex(user, password)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, kind, body = index.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="package-index")
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _version(file: PackageFile) -> str:
    return file.filename.removeprefix(f"{file.project}-").removesuffix(".tar.gz").removesuffix(".tgz").split("-")[0]
