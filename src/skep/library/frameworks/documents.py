"""TOML and JSON from strangers, read out of a listing: a value, or words about the file and what is wrong with it.

Whatever the text is, nothing but `InvalidError` comes out, and it costs little: at most 256 KiB are there to read.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

from skep.kernel import bounded_toml
from skep.kernel.errors import InvalidError
from skep.product.images.fetch.inside import MAX_TEXT
from skep.product.images.model import SourceListing

Table = Mapping[str, Any]

#: Parts of the keys of a TOML file together: it is read once for each framework; a long one has two thousand.
_MOST_PARTS = 20_000

PYPROJECT_HINT = "See https://packaging.python.org/en/latest/specifications/pyproject-toml/"


def wrong(file: str, why: str, hint: str = "", code: str = "project_invalid") -> InvalidError:
    """Return the error that says that *file* is wrong."""
    return InvalidError(f"{file[:200]} is wrong: {why}.", code=code, hint=hint)


def text(listing: SourceListing, file: str, hint: str = "") -> str:
    """Return the text of *file*, which is there; `InvalidError` if it did not come with the listing."""
    found = listing.texts.get(file)
    if found is None:
        raise wrong(file, "it is too large, or no text", hint)
    return found


def toml(listing: SourceListing, file: str, hint: str = PYPROJECT_HINT) -> Table:
    """Return what a TOML file says; empty if it is not there."""
    if file not in listing.files:
        return {}
    try:
        return bounded_toml.loads(text(listing, file, hint), limit=MAX_TEXT, together=_MOST_PARTS)
    except bounded_toml.TomlError as error:
        raise wrong(file, str(error)[:300], hint) from error


def json_object(listing: SourceListing, file: str, hint: str = "", code: str = "project_invalid") -> Table:
    """Return the object that a JSON file holds."""
    try:
        value: object = json.loads(text(listing, file, hint).removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise wrong(file, place, hint or "JSON takes no comments and no trailing commas.", code) from error
    except RecursionError as error:
        raise wrong(file, "it is nested too deeply", hint, code) from error
    except ValueError as error:
        raise wrong(file, str(error)[:300], hint, code) from error
    if not isinstance(value, dict):
        raise wrong(file, f"it holds {json_kind(value)}; expected an object", hint, code)
    return cast("dict[str, Any]", value)


def json_kind(value: object) -> str:
    """Return what a value is, in words for its author."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def table(parent: Table, key: str) -> Table:
    """Return the table below *key*; empty if there is none, or something else."""
    value = parent.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def texts(value: object) -> list[str]:
    """Return the texts of a list; whatever else there is counts nothing."""
    return [item for item in cast("list[object]", value) if isinstance(item, str)] if isinstance(value, list) else []
