"""What the operator's pip, uv and npm are set to, read as the operator: the server is another user."""

from collections.abc import Mapping
from pathlib import Path

from skep.kernel import operator_files
from skep.kernel.errors import InvalidError
from skep.kernel.operator_files import OperatorFiles
from skep.kernel.settings import INDEXES_VARIABLE

_MAX_FILE = 1024 * 1024
#: What is larger is a whole bundle, and SKEP_CA_FILE's business.
_MAX_AUTHORITIES = 32 * 1024
#: A variable has no more room (Linux: MAX_ARG_STRLEN).
_MAX_LINE = 120 * 1024


def handed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variable in which the server finds the operator's indexes and credentials.

    Raises:
        InvalidError: there are too many of them.
    """
    places = operator_files.places(environ)
    files = OperatorFiles(
        pip=_texts(places["pip"]),
        uv=_texts(places["uv"]),
        npm=_texts(places["npm"]),
        netrc="\n".join(_texts(places["netrc"])),
        authorities="\n".join(text for text in _texts(places["authorities"]) if len(text) <= _MAX_AUTHORITIES),
    )
    line = operator_files.read(environ, files).to_json()
    if len(line) > _MAX_LINE:
        raise InvalidError(
            "What pip, uv and npm are set to is too long to be handed to the server.",
            code="indexes_too_long",
            hint="Set SKEP_INDEX_URL and SKEP_NPM_REGISTRY, and start with PIP_CONFIG_FILE=/dev/null UV_NO_CONFIG=1.",
        )
    return {INDEXES_VARIABLE: line}


def _texts(places: tuple[str, ...]) -> list[str]:
    return [text for place in places if (text := _text(Path(place)))]


def _text(place: Path) -> str:
    """Return what stands in *place*; what is not there, or not the operator's to read, says nothing."""
    try:
        with place.open("rb") as file:
            return file.read(_MAX_FILE).decode("utf-8", "replace")
    except OSError:
        return ""
