"""`skep up` and `skep down`: start and stop the installation on this machine."""

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import typer
from rich.panel import Panel
from rich.text import Text

from skep.edge.cli import screen
from skep.edge.cli.launch import start
from skep.edge.cli.launch.config import LaunchConfig
from skep.edge.cli.options import Json
from skep.edge.cli.target import server_json
from skep.kernel.errors import InvalidError, UnavailableError
from skep.kernel.settings import Settings

_TAIL = 16 * 1024
_STARTING = {"keeper": "starting the keeper", "server": "starting the server"}


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Exactly this port; 0 takes any.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Go on in the background.")] = False,
    tls_cert: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Certificate chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Its private key.")] = None,
    as_json: Json = False,
) -> None:
    """Start Skep on this machine; one that runs already is left alone."""
    if (tls_cert is None) != (tls_key is None):
        raise InvalidError("--tls-cert and --tls-key belong together", code="tls_incomplete")
    asked = {"host": host, "port": port, "data_dir": data_dir, "tls_cert": tls_cert, "tls_key": tls_key}
    settings = Settings(**{name: value for name, value in asked.items() if value is not None})  # pyright: ignore[reportArgumentType]
    environ = dict(os.environ)  # noqa: TID251  the launcher chooses what its children may see
    start.require_isolation(environ)
    config = start.orders(settings, environ, detach=detach)
    known = _token(config)
    with start.launcher(config, "up") as launcher:
        _stop_on_signals(launcher)
        for event in launcher.events():
            _heard(event, config, known, as_json=as_json)
            if event["event"] == "ready" and detach:
                return


def _stop_on_signals(launcher: start.Launcher) -> None:
    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signature is Python's
        launcher.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)


def _heard(event: dict[str, Any], config: LaunchConfig, known: str, *, as_json: bool) -> None:
    """Tell the user what the launcher said."""
    match event["event"]:
        case "ready":
            _ready(config, event["url"], known, as_json=as_json)
        case "running":
            _running(config, as_json=as_json)
        case "failed":
            raise _not_started(event, config)
        case "starting" if not as_json:
            screen.say(f"{_STARTING[event['part']]} ...", style="dim")
        case "waiting":
            log = f"; {config.log_file} says why" if config.detach else ""
            screen.say(f"the database does not answer yet (SKEP_DATABASE_URL): waiting for it{log}", style="yellow")
        case "port_taken":
            screen.say(f"port {event['asked']} is busy: taking {event['taken']} instead", style="yellow")
        case "died":
            screen.say(f"the {event['part']} ended (status {event['status']}) and is started again", style="yellow")
        case "stopped" if not as_json:
            screen.say("stopped; running sandboxes go on and are followed again at the next start")
        case _:
            pass


def _not_started(event: dict[str, Any], config: LaunchConfig) -> UnavailableError:
    """Say why; the server's own last words, where it left any in the log, say it best."""
    message, hint = str(event["message"]), str(event["hint"])
    said = last_words(config.log_file) if config.detach else None
    if said is not None:
        message, hint = f"{message}: {said[0]}", said[1] or f"look into {config.log_file}"
    return UnavailableError(message, code="not_started", hint=hint)


def last_words(log_file: str) -> tuple[str, str] | None:
    """Return message and hint of the last grave line of a log's end, or of a traceback's last line."""
    try:
        with Path(log_file).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except ValueError:
            return line.decode(errors="replace"), ""
        if isinstance(found, dict):
            words = cast("dict[str, Any]", found)
            if words.get("level") in ("critical", "error"):
                why = [str(words[key]) for key in ("message", "reason") if words.get(key)]
                return ": ".join(why), str(words.get("hint") or "")
    return None


def _ready(config: LaunchConfig, url: str, known: str, *, as_json: bool) -> None:
    token = _token(config)
    fresh = token if token != known else ""
    if as_json:
        about = {"url": url, "data_dir": config.data_dir, "instance": config.instance, "already_running": False}
        screen.emit(about | ({"token": fresh} if fresh else {}))
        return
    rows = [("server", url), ("data", config.data_dir), ("isolation", "container (runc; the host's kernel is shared)")]
    if fresh:
        # What is no terminal may be a log or the journal, which others read.
        shown = [("token", fresh), ("", "shown once")] if sys.stderr.isatty() else [("token", "not shown in a log")]
        rows += [*shown, ("", f"kept in {config.admin_token_file}")]
    if config.detach:
        rows.append(("log", config.log_file))
    rows += [("next", "skep deploy ./folder"), ("", "skep doctor"), ("", "skep --help")]
    text = Text("\n").join(Text.assemble((f"{name:<11}", "dim"), value) for name, value in rows)
    screen.console(stderr=True).print(Panel(text, title="Skep is up", expand=False, border_style="green"))


def _running(config: LaunchConfig, *, as_json: bool) -> None:
    about = server_json(Path(config.data_dir))
    if about is None:
        raise UnavailableError(
            "another `skep up` on this data folder is starting or stopping", code="busy", hint="try again in a moment"
        )
    if as_json:
        screen.emit(
            {"url": about["url"], "data_dir": config.data_dir, "instance": config.instance, "already_running": True}
        )
        return
    screen.say(Text.assemble("Skep is running already at ", (str(about["url"]), "bold")))
    if config.port_fixed and config.port not in (0, urlsplit(str(about["url"])).port):
        screen.say(f"port {config.port} was not applied: it would be after `skep down`", style="yellow")


def _token(config: LaunchConfig) -> str:
    try:
        return Path(config.admin_token_file).read_text().strip()
    except OSError:
        return ""


def down(
    data_dir: Annotated[Path | None, typer.Option(help="Folder that holds everything.")] = None,
    as_json: Json = False,
) -> None:
    """Stop Skep on this machine; sandboxes go on and are followed again at the next start."""
    settings = Settings(data_dir=data_dir) if data_dir else Settings()
    environ = dict(os.environ)  # noqa: TID251  the orders have one shape
    config = start.orders(settings, environ, detach=False)
    said = "not_running"
    with start.launcher(config, "down") as launcher:
        for event in launcher.events():
            said = event["event"]
            if said == "failed":
                raise UnavailableError(event["message"], code="not_stopped", hint=event["hint"])
    if as_json:
        screen.emit({"stopped": said == "stopped"})
    elif said == "stopped":
        screen.say("Skep is stopped. Running sandboxes go on; `skep up` follows them again.")
    else:
        screen.say("Skep was not running.")
