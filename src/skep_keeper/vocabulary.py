"""The closed vocabulary: all that the keeper can be asked. Every value is checked before anything acts on it.

A request is a JSON object with `op` and exactly the fields of that operation. No request names a path of the host,
a mount, a program or an argument.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from skep_keeper.errors import BadRequestError, KeeperError

MAX_REQUEST: Final = 64 * 1024
_MIB: Final = 1 << 20
_TIB: Final = 1 << 40
_MAX_LAYERS: Final = 12
_MAX_DOORS: Final = 16

_SANDBOX_ID: Final = re.compile(r"[a-z]{3}_[0-9a-z]{26}")
_LAYER_ID: Final = re.compile(r"[0-9a-f]{64}")
_COMMAND_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
#: The folders that can become a layer.
SEALABLE: Final = ("/app", "/opt/env", "/opt/node", "/opt/python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a sandbox is to be; stored as its intent."""

    id: str
    cpus: float
    memory_bytes: int
    disk_bytes: int
    pids: int
    open_files: int
    output_bytes: int
    layers: tuple[str, ...]
    doors: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the specification as it is stored."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Hello:
    """Ask who answers and what it can enforce."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make a sandbox, or find it made."""

    spec: Spec


@dataclass(frozen=True, slots=True)
class Destroy:
    """Remove a sandbox, whole or half made."""

    id: str


@dataclass(frozen=True, slots=True)
class ListAll:
    """List all sandboxes, whole or half made."""


@dataclass(frozen=True, slots=True)
class Inspect:
    """Look at one sandbox from the host."""

    id: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End all processes of a sandbox; its files stay."""

    id: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Open a listening socket on a sandbox's loopback."""

    id: str
    port: int


@dataclass(frozen=True, slots=True)
class Spool:
    """Open what the supervisor kept of a command: `out` or `exit`."""

    id: str
    command: str
    part: str


@dataclass(frozen=True, slots=True)
class Seal:
    """Copy folders out of a sandbox into a layer."""

    id: str
    paths: tuple[str, ...]
    layer: str
    writable: bool
    #: Only what the sandbox changed over its layers.
    changes: bool


@dataclass(frozen=True, slots=True)
class Layers:
    """List the sealed layers."""


@dataclass(frozen=True, slots=True)
class DropLayer:
    """Remove a layer that no sandbox uses."""

    layer: str


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Name what belongs to no sandbox."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Remove what belongs to no sandbox."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Ask what identifies the base."""


Request = (
    Hello
    | Create
    | Destroy
    | ListAll
    | Inspect
    | Kill
    | Listen
    | Spool
    | Seal
    | Layers
    | DropLayer
    | Leftovers
    | Sweep
    | Fingerprint
)


class _Fields:
    """Takes checked values out of a JSON object and refuses what is left over."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def _take(self, name: str) -> Any:
        if name not in self._values:
            raise BadRequestError(f"{name} is missing")
        return self._values.pop(name)

    def text(self, name: str, pattern: re.Pattern[str]) -> str:
        value = self._take(name)
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise BadRequestError(f"{name} is malformed")
        return value

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self._take(name)
        if value not in allowed:
            raise BadRequestError(f"{name} must be one of {', '.join(allowed)}")
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        return _integer(name, self._take(name), low, high)

    def number(self, name: str, low: float, high: float) -> float:
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise BadRequestError(f"{name} must be a number from {low} to {high}")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._take(name)
        if not isinstance(value, bool):
            raise BadRequestError(f"{name} must be true or false")
        return value

    def items(self, name: str, most: int) -> list[Any]:
        value: Any = self._take(name)
        if not isinstance(value, list):
            raise BadRequestError(f"{name} must be a list")
        found: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        if len(found) > most:
            raise BadRequestError(f"{name} must have at most {most} items")
        return found

    def end(self) -> None:
        if self._values:
            raise BadRequestError(f"unknown field {min(self._values)!r}")


def _integer(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRequestError(f"{name} must be a whole number from {low} to {high}")
    return value


def _layer(value: Any) -> str:
    if not isinstance(value, str) or _LAYER_ID.fullmatch(value) is None:
        raise BadRequestError("a layer is 64 lower-case hex digits")
    return value


def _unique(name: str, values: list[Any]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise BadRequestError(f"{name} has an item twice")
    return tuple(values)


def spec_from(fields: _Fields) -> Spec:
    """Read and check a specification.

    Raises:
        KeeperError: an isolation was asked for that this keeper does not make.
    """
    isolation = fields.text("isolation", re.compile(r"[a-z]{1,32}"))
    if isolation != "container":
        raise KeeperError(
            "isolation_unavailable", f"this machine cannot make {isolation!r} sandboxes, only 'container'"
        )
    return Spec(
        id=fields.text("id", _SANDBOX_ID),
        cpus=fields.number("cpus", 0.01, 1024),
        memory_bytes=fields.integer("memory_bytes", 32 * _MIB, 16 * _TIB),
        disk_bytes=fields.integer("disk_bytes", 16 * _MIB, 8 * _TIB),
        pids=fields.integer("pids", 16, 1 << 20),
        open_files=fields.integer("open_files", 64, 1 << 20),
        output_bytes=fields.integer("output_bytes", 1024, 1 << 32),
        layers=_unique("layers", [_layer(item) for item in fields.items("layers", _MAX_LAYERS)]),
        doors=_unique("doors", [_integer("doors", item, 1, 1023) for item in fields.items("doors", _MAX_DOORS)]),
    )


def stored_spec(value: Any) -> Spec | None:
    """Read a specification as `Spec.to_json` wrote it; None when it is not one."""
    try:
        fields = _Fields({**value, "isolation": "container"})
        spec = spec_from(fields)
        fields.end()
    except (KeeperError, TypeError):
        return None
    return spec


def _create(fields: _Fields) -> Create:
    return Create(spec_from(fields))


def _destroy(fields: _Fields) -> Destroy:
    return Destroy(fields.text("id", _SANDBOX_ID))


def _inspect(fields: _Fields) -> Inspect:
    return Inspect(fields.text("id", _SANDBOX_ID))


def _kill(fields: _Fields) -> Kill:
    return Kill(fields.text("id", _SANDBOX_ID))


def _listen(fields: _Fields) -> Listen:
    return Listen(fields.text("id", _SANDBOX_ID), fields.integer("port", 1, 1023))


def _spool(fields: _Fields) -> Spool:
    return Spool(
        fields.text("id", _SANDBOX_ID), fields.text("command", _COMMAND_ID), fields.one_of("part", ("out", "exit"))
    )


def _seal(fields: _Fields) -> Seal:
    paths = fields.items("paths", len(SEALABLE))
    if not paths or any(path not in SEALABLE for path in paths):
        raise BadRequestError(f"paths must be some of {', '.join(SEALABLE)}")
    return Seal(
        fields.text("id", _SANDBOX_ID),
        _unique("paths", paths),
        fields.text("layer", _LAYER_ID),
        fields.flag("writable"),
        fields.flag("changes"),
    )


def _drop_layer(fields: _Fields) -> DropLayer:
    return DropLayer(fields.text("layer", _LAYER_ID))


_OPERATIONS: Final[Mapping[str, Callable[[_Fields], Request]]] = {
    "hello": lambda _: Hello(),
    "create": _create,
    "destroy": _destroy,
    "list": lambda _: ListAll(),
    "inspect": _inspect,
    "kill": _kill,
    "listen": _listen,
    "spool": _spool,
    "seal": _seal,
    "layers": lambda _: Layers(),
    "drop_layer": _drop_layer,
    "leftovers": lambda _: Leftovers(),
    "sweep": lambda _: Sweep(),
    "fingerprint": lambda _: Fingerprint(),
}


def parse(packet: bytes) -> Request:
    """Turn a packet into a request.

    Raises:
        BadRequestError: it is not one.
    """
    if len(packet) > MAX_REQUEST:
        raise BadRequestError(f"a request has at most {MAX_REQUEST} bytes")
    try:
        values = json.loads(packet)
    except (ValueError, RecursionError):
        raise BadRequestError("a request is a JSON object") from None
    if not isinstance(values, dict):
        raise BadRequestError("a request is a JSON object")
    fields = _Fields(values)  # pyright: ignore[reportUnknownArgumentType]
    request = _OPERATIONS[fields.one_of("op", tuple(_OPERATIONS))](fields)
    fields.end()
    return request
