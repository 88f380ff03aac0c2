"""Requests, checked: what is returned from here can be acted on as it is. It does no input or output."""

from skep_supervisor.privileges import Identity
from skep_supervisor.program import Program

_ID_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_MAX_ID = 100
_MAX_SECONDS = 10 * 365 * 86400
_MAX_SIZE = 1 << 50
_MAX_SIGNAL = 64


class BadRequestError(Exception):
    """A field is missing or wrong; the message names it."""


def command_id(request: dict[str, object]) -> str:
    """Return the `id`: it becomes a file's name."""
    value = request.get("id")
    if isinstance(value, str) and 0 < len(value) <= _MAX_ID and _ID_SIGNS.issuperset(value):
        return value
    raise BadRequestError("id")


def program(request: dict[str, object], identities: dict[str, Identity]) -> Program:
    """Return what `exec` asks for."""
    user = request.get("user")
    if not isinstance(user, str) or user not in identities:
        raise BadRequestError("user")
    timeout_s = request.get("timeout_s")
    return Program(
        command_id(request),
        _argv(request.get("argv")),
        _env(request.get("env")),
        _absolute(request.get("cwd"), "cwd"),
        identities[user],
        None if timeout_s is None else _seconds(timeout_s, "timeout_s"),
        _seconds(request.get("grace_s"), "grace_s"),
    )


def offset(request: dict[str, object]) -> int:
    """Return the `offset` of `output`."""
    return _whole(request.get("offset"), 0, _MAX_SIZE, "offset")


def signal_number(request: dict[str, object]) -> int:
    """Return the `number` of `signal`."""
    return _whole(request.get("number"), 1, _MAX_SIGNAL, "number")


def held(request: dict[str, object]) -> bool:
    """Return the `held` of `hold`."""
    value = request.get("held")
    if isinstance(value, bool):
        return value
    raise BadRequestError("held")


def check_file_request(request: dict[str, object]) -> None:
    """Check `put`, `get` or `list`."""
    path = _absolute(request.get("path"), "path")
    if request.get("op") == "put":
        if path.endswith(b"/"):
            raise BadRequestError("path")
        _whole(request.get("mode"), 0, 0o777, "mode")
    else:
        _whole(request.get("limit"), 0, _MAX_SIZE, "limit")


def _argv(value: object) -> list[bytes]:
    if not isinstance(value, list) or not value:
        raise BadRequestError("argv")
    items: list[object] = value  # pyright: ignore[reportUnknownVariableType]
    return [_text(item, "argv") for item in items]


def _env(value: object) -> dict[bytes, bytes]:
    if not isinstance(value, dict):
        raise BadRequestError("env")
    members: dict[object, object] = value  # pyright: ignore[reportUnknownVariableType]
    env = {_text(key, "env"): _text(item, "env") for key, item in members.items()}
    if any(not key or b"=" in key for key in env):
        raise BadRequestError("env")
    return env


def _absolute(value: object, field: str) -> bytes:
    path = _text(value, field)
    if not path.startswith(b"/"):
        raise BadRequestError(field)
    return path


def _text(value: object, field: str) -> bytes:
    if isinstance(value, str):
        try:
            # Names that are no UTF-8 come and go as lone surrogates, as everywhere in Python.
            encoded = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise BadRequestError(field) from error
        if b"\0" not in encoded:
            return encoded
    raise BadRequestError(field)


def _seconds(value: object, field: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_SECONDS:
        return float(value)
    raise BadRequestError(field)


def _whole(value: object, lowest: int, highest: int, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
        return value
    raise BadRequestError(field)
