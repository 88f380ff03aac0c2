"""Keeps keeper and server running until it is told to stop. It decides nothing else."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from skep.edge.cli.launch import mounts, pids, ports, probe
from skep.edge.cli.launch.children import FIRST_FD, Child
from skep.edge.cli.launch.config import LaunchConfig, keeper_argv, keeper_env, server_argv, server_env
from skep.edge.cli.launch.folders import PrepareError, User, copy_for
from skep.edge.cli.launch.kept import Kept, Say
from skep.edge.cli.launch.probe import Readiness
from skep.edge.cli.launch.view import Need, View, plan

_READY_S = 60.0
_POLL_S, _SLOW_POLL_S = 0.02, 0.5
_STOP_S = 10.0


def needs(config: LaunchConfig, tls: tuple[str, str] | None) -> tuple[Need, ...]:
    """List the paths that the server must reach."""
    named = config.env.get("SKEP_GIT_KNOWN_HOSTS")
    code = (*config.code, config.uv, config.python, config.ca_file, *(tls or ()), *((named,) if named else ()))
    return (*(Need(path) for path in code), Need(config.data_dir, writable=True), Need(config.run_dir, writable=True))


class Stopped(Exception):  # noqa: N818  not an error
    """The launcher was told to stop."""


class Supervisor:
    """The two children of one installation, and the socket that the server listens on."""

    def __init__(self, config: LaunchConfig, user: User, say: Say) -> None:
        self._config = config
        self._user = user
        self._say = say
        self._stop = asyncio.Event()
        #: In the order of their start: keeper, server.
        self._children: list[Kept] = []
        #: True once it was said that the server waits for its database.
        self._waiting = False

    def stop(self) -> None:
        """End both children, soon."""
        self._stop.set()

    async def run(self) -> None:
        """Start both, say `ready`, and keep them running until `stop`.

        Raises:
            PrepareError: they could not be started in the first place.
        """
        config = self._config
        for name in ("server", "keeper"):
            stale = pids.read(config.pid_file(name))
            if stale is not None:
                stale.end(signal.SIGKILL, _STOP_S)
        try:
            listening = ports.listen(config.host, config.port, fixed=config.port_fixed)
        except OSError as error:
            hint = "choose another with --port, or leave --port out to have one chosen"
            raise PrepareError(f"cannot listen on {config.host} port {config.port}: {error.strerror}", hint) from error
        with listening:
            port = listening.getsockname()[1]
            if config.port not in (port, 0):
                self._say("port_taken", asked=config.port, taken=port)
            await self._run(listening, port)

    async def _run(self, listening: socket.socket, port: int) -> None:
        try:
            async with asyncio.timeout(_READY_S) as limit:
                self._say("starting", part="keeper")
                self._begin("keeper", self._keeper)
                await self._until(self._keeper_ready)
                self._say("starting", part="server")
                self._begin("server", lambda: self._server(listening, port))
                await self._until(lambda: self._server_ready(port, limit))
            for child in self._children:
                child.proven = True
            self._write_server_json(port)
            self._say("ready", url=self._url(port), port=port, user=self._user.name, pid=os.getpid())
            await self._watch()
        except TimeoutError:
            raise PrepareError(
                f"the server was not ready within {_READY_S:.0f} s", f"look into {self._config.log_file}"
            ) from None
        except Stopped:
            pass
        finally:
            await self._end()

    def _begin(self, name: str, make: Callable[[], Child]) -> None:
        child = Kept(name, make, pid_file=self._config.pid_file(name), say=self._say, stop=self._stop)
        child.begin()
        self._children.append(child)

    # ---- the children

    def _keeper(self) -> Child:
        config = self._config
        return Child(
            name="keeper",
            argv=keeper_argv(config, self._user.uid, self._user.gid),
            env=keeper_env(config),
        )

    def _server(self, listening: socket.socket, port: int) -> Child:
        config = self._config
        tls = self._tls_files()
        view = plan(needs(config, tls), mounts.look_as(self._user.uid, self._user.gid))
        self._refuse_closed(view)
        return Child(
            name="server",
            argv=server_argv(config, FIRST_FD),
            env=server_env(config, port=port, tls=tls),
            cwd=config.state_dir,
            umask=0o077,
            user=self._user,
            view=view,
            drop=config.run_dir,
            fds=(listening.fileno(),),
        )

    def _tls_files(self) -> tuple[str, str] | None:
        config = self._config
        if not config.tls_cert or not config.tls_key:
            return None
        folder = self._tls_folder
        try:
            return (
                copy_for(self._user, config.tls_cert, folder / "cert.pem"),
                copy_for(self._user, config.tls_key, folder / "key.pem"),
            )
        except OSError as error:
            raise PrepareError(f"the certificate or its key cannot be read: {error}") from error

    @property
    def _tls_folder(self) -> Path:
        """Where the server's own copies of certificate and key lie while it runs."""
        return Path(self._config.run_dir) / "tls"

    def _refuse_closed(self, view: View) -> None:
        closed = [path for path in view.closed if path != self._config.ca_file]
        if closed:
            raise PrepareError(
                f"the user {self._user.name} may not read {', '.join(closed)}",
                f"chmod -R go+rX {' '.join(closed)}",
            )

    # ---- waiting

    async def _keeper_ready(self) -> bool:
        return probe.keeper_answers(self._config.keeper_socket)

    async def _server_ready(self, port: int, limit: asyncio.Timeout) -> bool:
        """Tell whether the server is ready; one that waits for its database may do so for as long as it takes."""
        host, tls = ports.reachable(self._config.host), bool(self._config.tls_cert)
        found = await probe.server_ready(host, port, tls=tls)
        if found is Readiness.WAITING:
            limit.reschedule(asyncio.get_running_loop().time() + _READY_S)
            if not self._waiting:
                self._waiting = True
                self._say("waiting", part="database")
        return found is Readiness.READY

    async def _until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        while not await ready():
            for child in self._children:
                child.raise_failure()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SLOW_POLL_S if self._waiting else _POLL_S):
                    await self._stop.wait()
            if self._stop.is_set():
                raise Stopped

    async def _watch(self) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        tasks = [child.task for child in self._children]
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for child in self._children:
            child.raise_failure()

    async def _end(self) -> None:
        """End the server first, so that it can still speak to the keeper."""
        self._stop.set()
        for child in reversed(self._children):
            await child.end(_STOP_S)
        Path(self._config.server_json).unlink(missing_ok=True)
        shutil.rmtree(self._tls_folder, ignore_errors=True)

    # ---- what others read

    def _url(self, port: int) -> str:
        return f"{self._config.scheme}://{ports.reachable(self._config.host)}:{port}"

    def _write_server_json(self, port: int) -> None:
        config = self._config
        content: dict[str, Any] = {
            "url": self._url(port),
            "pid": os.getpid(),
            "instance": config.instance,
            "user": self._user.name,
            "run_dir": config.run_dir,
        }
        if config.tls_cert:
            content["certificate"] = Path(config.tls_cert).read_text()
        path = Path(config.server_json)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(content, indent=2) + "\n")
        fresh.chmod(0o644)
        fresh.replace(path)
