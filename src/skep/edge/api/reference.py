"""Writes the generated parts of docs/api: `python -m skep.edge.api.reference docs/api`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from skep.edge.api.app import all_routes, bare_api
from skep.edge.api.openapi import operations, scope_table


def files() -> Mapping[str, str]:
    """Return the name and text of each generated file."""
    described = bare_api().openapi()
    return {
        "openapi.json": json.dumps(described, indent=2, sort_keys=True) + "\n",
        "scopes.md": scope_table(operations(all_routes())),
    }


def main(folder: Path) -> None:
    """Write them to *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
