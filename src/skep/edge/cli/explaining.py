"""`skep deploy --explain`: what a source is taken for, and what a build of it would do, without building."""

import shlex
from collections.abc import Iterable, Iterator
from typing import Any, cast

import typer

from skep.edge.cli import building, exits, screen, tables
from skep.edge.cli.tables import Column
from skep.edge.client import SkepClient
from skep.edge.wire.builds import BuildView, ExplainBuild, ExplanationView, RecognisedView
from skep.edge.wire.sources import SourceBody
from skep.product.images.model import BuildStatus

#: Whose a layer is.
_OWNERS = {"runtime": "everybody's", "shared": "everybody's", "source": "the project's", "private": "the project's"}
_SHOWN = 8


async def explained(client: SkepClient, source: SourceBody, command: list[str], *, quiet: bool) -> BuildView:
    """Have *source* looked at, with the log on the screen, and return what was found out."""
    begun = await client.builds.explain(ExplainBuild(source=source, command=command, explain=True))
    return await building.followed(client, begun, quiet=quiet)


def tell(build: BuildView, *, as_json: bool) -> None:
    """Print what was found out, and end the command with 1 if the source cannot be built."""
    if as_json:
        screen.emit(build)
    else:
        if build.recognised is not None:
            _show(build.recognised, build.explanation)
        if build.error is not None:
            building.say_failure(build)
    if build.status is not BuildStatus.SUCCEEDED:
        raise typer.Exit(exits.ERROR)


def _show(found: RecognisedView, plan: ExplanationView | None) -> None:
    tables.table(("what", Column("found", folds=True)), [*_found(found), *(_packages(plan) if plan else ())])
    if plan is not None and plan.layers:
        screen.console().print()
        tables.table(
            ("layer", Column("holds", folds=True), "whose", "is"),
            (
                (layer.kind, layer.about, _OWNERS.get(layer.kind, ""), "there" if layer.there else "to be made")
                for layer in plan.layers
            ),
        )
    for notice in found.notices:
        screen.say(f"note: {screen.clean(notice)}", style="yellow")


def _found(found: RecognisedView) -> Iterator[tuple[str, str]]:
    yield "framework", found.framework
    yield "because of", ", ".join(found.evidence)
    yield "command", shlex.join(found.command)
    rows = (
        ("inputs", ", ".join(inputs(found.inputs_schema))),
        ("prepared by", "; ".join(map(shlex.join, found.prepare))),
        ("variables", ", ".join(f"{name}={value}" for name, value in found.env.items())),
        ("wants secrets", ", ".join(found.secrets)),
        ("wants", ", ".join(f"{name} {value:g}" for name, value in found.resources if value is not None)),
        ("wants to reach", ", ".join(found.declared.egress)),
        ("schedule", found.declared.schedule),
        ("wants python", found.requires_python),
        ("wants node", found.requires_node),
        ("adds packages", _some(found.requirements)),
        ("adds those of", ", ".join(found.requirement_files)),
    )
    yield from ((what, said) for what, said in rows if said)


def _packages(plan: ExplanationView) -> Iterator[tuple[str, str]]:
    yield "run by", ", ".join(plan.runtimes)
    if plan.shared:
        yield "packages, shared", f"{screen.count(plan.shared, 'hash-checked wheel')}"
    if plan.private:
        yield "packages, private", f"{_some(plan.private)} (they run code when they are installed)"


def inputs(schema: dict[str, Any] | None) -> list[str]:
    """Name the inputs of a schema with their types; those that may be left out are marked."""
    if schema is None:
        return ["any JSON object"]
    properties: object = schema.get("properties")
    required: object = schema.get("required")
    needed = cast("list[object]", required) if isinstance(required, list) else []
    names = cast("dict[str, object]", properties) if isinstance(properties, dict) else {}
    return [f"{name}{_type(one)}{'' if name in needed else ', optional'}" for name, one in names.items()] or ["any"]


def _type(schema: object) -> str:
    type_ = cast("dict[str, object]", schema).get("type") if isinstance(schema, dict) else None
    several = cast("list[object]", type_) if isinstance(type_, list) else [type_]
    names = [one for one in several if isinstance(one, str)]
    return f" ({' or '.join(names)})" if names else ""


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
