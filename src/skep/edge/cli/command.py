"""The `skep` command: its verbs, and what becomes of an error."""

import sys
from typing import Annotated

import typer
from pydantic import ValidationError

from skep.edge.cli import (
    agents,
    artifacts,
    building,
    builds,
    deploy,
    exits,
    images,
    inbox,
    repositories,
    runs,
    runtimes,
    screen,
    secrets,
    system,
    tokens,
    up,
)
from skep.edge.cli.target import Caller, chosen
from skep.kernel.errors import InvalidError, SkepError

app = typer.Typer(
    name="skep",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=exits.epilog(),
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def common(
    url: Annotated[str | None, typer.Option(help="The server to call; else SKEP_URL.", metavar="URL")] = None,
    project: Annotated[str | None, typer.Option("--project", "-p", help="The project; else SKEP_PROJECT.")] = None,
) -> None:
    """Build AI agents from source, run each in its own sandbox, keep all their work."""
    caller = Caller()
    chosen.set(caller.model_copy(update={k: v for k, v in {"url": url, "project": project}.items() if v}))


def serve(fd: Annotated[int | None, typer.Option(help="An open listening socket.")] = None) -> None:
    """Be the server's process; `skep up` starts it."""
    from skep.edge.cli.serve import serve as begin  # noqa: PLC0415  the server's imports cost the other verbs a second

    begin(fd)


app.command(rich_help_panel="Installation")(up.up)
app.command(rich_help_panel="Installation")(up.down)
app.command(hidden=True)(serve)
app.command(rich_help_panel="Agents and runs")(deploy.deploy)
app.command(rich_help_panel="Agents and runs")(building.build)
app.command(rich_help_panel="Agents and runs")(runs.run)
app.command("agents", rich_help_panel="Agents and runs")(agents.agents)
app.command("runs", rich_help_panel="Agents and runs")(runs.runs)
app.command("builds", rich_help_panel="Agents and runs")(builds.builds)
app.command(rich_help_panel="Agents and runs")(inbox.inbox)
app.command(rich_help_panel="Agents and runs")(inbox.answer)
app.command(rich_help_panel="Agents and runs")(runs.logs)
app.command(rich_help_panel="Agents and runs")(runs.output)
app.command("artifacts", rich_help_panel="Agents and runs")(artifacts.artifacts)
app.command(rich_help_panel="Agents and runs")(runs.cancel)
app.command(rich_help_panel="Agents and runs")(agents.remove)
app.add_typer(tokens.token, rich_help_panel="Access")
app.add_typer(tokens.project, rich_help_panel="Access")
app.add_typer(secrets.secret, rich_help_panel="Access")
app.add_typer(repositories.hosts, rich_help_panel="Access")
app.add_typer(repositories.webhook, rich_help_panel="Agents and runs")
app.command(rich_help_panel="Access")(system.audit)
app.add_typer(images.images, rich_help_panel="Installation")
app.command(rich_help_panel="Installation")(runtimes.runtimes)
app.command(rich_help_panel="Installation")(system.doctor)
app.command(rich_help_panel="Installation")(system.version)


def main() -> None:
    """Run the command and exit with its code."""
    try:
        app()
    except SkepError as problem:
        screen.error(problem, as_json=screen.wants_json())
        sys.exit(exits.of_error(problem))
    except ValidationError as problem:
        fields = {".".join(map(str, item["loc"])): item["msg"] for item in problem.errors()}
        screen.error(InvalidError("some values are wrong", fields=fields), as_json=screen.wants_json())
        sys.exit(exits.INVALID)
    except KeyboardInterrupt:
        sys.exit(exits.CANCELLED)
    except BrokenPipeError:
        # Whoever read our output has had enough of it; Python must not complain when it flushes at the end.
        sys.stderr.close()
        sys.exit(exits.ERROR)
