"""Keeps keeper and server running until it is told to stop. It decides nothing else."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from skep.edge.cli.launch import mounts, pids, ports, probe
from skep.edge.cli.launch.children import FIRST_FD, Child, spawn
from skep.edge.cli.launch.config import LaunchConfig, keeper_argv, keeper_env, server_argv, server_env
from skep.edge.cli.launch.folders import PrepareError, User, copy_for
from skep.edge.cli.launch.view import Need, View, plan

#: What a step of the start tells whoever waits for it: a word, and details.
Say = Callable[..., None]

_READY_S = 60.0
_POLL_S = 0.02
_STOP_S = 10.0
#: Quick deaths in a row, before the first time that all was well, after which the start is given up.
_MAX_DEATHS = 3
_LONG_LIFE_S = 30.0
#: What a child ends with that says that another try is useless (EX_CONFIG of sysexits.h).
_USELESS = 78


def backoff_s(deaths: int) -> float:
    """Return how long to wait before the next start, after so many quick deaths in a row."""
    return 0.0 if deaths <= 1 else min(10.0, 0.1 * 2 ** (deaths - 2))


def needs(config: LaunchConfig, tls: tuple[str, str] | None) -> tuple[Need, ...]:
    """List the paths that the server must reach."""
    code = (*config.code, config.uv, config.python, config.ca_file, *(tls or ()))
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
        self._ready = False
        self._pids: dict[str, int] = {}
        self._deaths: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

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
            async with asyncio.timeout(_READY_S):
                self._say("starting", part="keeper")
                self._begin("keeper", self._keeper)
                await self._until(self._keeper_ready)
                self._say("starting", part="server")
                self._begin("server", lambda: self._server(listening, port))
                await self._until(lambda: self._server_ready(port))
            self._ready = True
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
        self._tasks[name] = asyncio.create_task(self._keep(name, make))

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
        folder = Path(config.run_dir) / "tls"
        try:
            return (
                copy_for(self._user, config.tls_cert, folder / "cert.pem"),
                copy_for(self._user, config.tls_key, folder / "key.pem"),
            )
        except OSError as error:
            raise PrepareError(f"the certificate or its key cannot be read: {error}") from error

    def _refuse_closed(self, view: View) -> None:
        closed = [path for path in view.closed if path != self._config.ca_file]
        if closed:
            raise PrepareError(
                f"the user {self._user.name} may not read {', '.join(closed)}",
                f"chmod -R go+rX {' '.join(closed)}",
            )

    async def _keep(self, name: str, make: Callable[[], Child]) -> None:
        """Start a child, again and again; give up only while nothing has ever worked."""
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            began = loop.time()
            try:
                pid = spawn(make())
            except OSError as error:
                raise PrepareError(str(error)) from error
            self._pids[name] = pid
            pids.write(self._config.pid_file(name), pid)
            status = await _ended(pid)
            del self._pids[name]
            if self._stop.is_set():
                return
            lived = loop.time() - began
            deaths = self._deaths[name] = 1 if lived > _LONG_LIFE_S else self._deaths.get(name, 0) + 1
            self._say("died", part=name, status=status, deaths=deaths)
            if not self._ready and (deaths >= _MAX_DEATHS or status == _USELESS):
                raise PrepareError(f"the {name} cannot start (status {status})", f"look into {self._config.log_file}")
            await self._sleep(backoff_s(deaths))

    # ---- waiting

    async def _keeper_ready(self) -> bool:
        return probe.keeper_answers(self._config.keeper_socket)

    async def _server_ready(self, port: int) -> bool:
        if "server" not in self._pids:
            return False
        return await probe.server_ready(ports.reachable(self._config.host), port, tls=bool(self._config.tls_cert))

    async def _until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        while not await ready():
            self._raise_failure()
            await self._sleep(_POLL_S)
            if self._stop.is_set():
                raise Stopped

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _watch(self) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait([stopping, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self._raise_failure()

    def _raise_failure(self) -> None:
        for task in self._tasks.values():
            if task.done():
                task.result()

    async def _end(self) -> None:
        """TERM to the server first, so that it can still speak to the keeper; then the keeper; KILL the slow."""
        self._stop.set()
        for name in ("server", "keeper"):
            task = self._tasks.get(name)
            if task is None:
                continue
            self._signal(name, signal.SIGTERM)
            await asyncio.wait([task], timeout=_STOP_S)
            if not task.done():
                self._say("killed", part=name)
                self._signal(name, signal.SIGKILL)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        Path(self._config.server_json).unlink(missing_ok=True)
        for name in ("server", "keeper"):
            pids.forget(self._config.pid_file(name))

    def _signal(self, name: str, number: int) -> None:
        pid = self._pids.get(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

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


async def _ended(pid: int) -> int:
    """Wait for a child and return its exit status, negative for a signal."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    handle = os.pidfd_open(pid)
    try:
        loop.add_reader(handle, lambda: over.done() or over.set_result(None))
        await over
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # noqa: ASYNC222  it has ended
