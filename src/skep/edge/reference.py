"""Writes the generated parts of docs/api: `python -m skep.edge.reference docs/api`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from skep.edge.api.app import all_routes, bare_api
from skep.edge.api.openapi import operations, scope_table
from skep.edge.dialects import spoken


def files() -> Mapping[str, str]:
    """Return the name and text of each generated file."""
    return {
        "openapi.json": _json(bare_api().openapi()),
        **{f"{name}.json": _json(described) for name, described in spoken.descriptions().items()},
        "scopes.md": scope_table(operations([*all_routes(), *spoken.routes()])),
    }


def _json(described: Mapping[str, object]) -> str:
    return json.dumps(described, indent=2, sort_keys=True) + "\n"


def main(folder: Path) -> None:
    """Write them to *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
