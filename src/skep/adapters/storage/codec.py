"""Values of the product as JSON and back, strictly by their types; it never revives a type by name.

A dataclass is an object with all its fields, a tuple an array, a frozen set a sorted array, an enum its value.
A union of dataclasses is an object with a member more, `kind`, whose words stand in `KINDS`.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from functools import cache
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

from skep.product.images.model import FilesSource, GitSource, ImageSource, UploadSource

Convert = Callable[[Any], Any]

#: What `kind` says of each member of a union.
KINDS: Mapping[type, str] = {GitSource: "git", FilesSource: "files", UploadSource: "upload", ImageSource: "image"}


_UNIONS = (Union, types.UnionType)
_SCALARS = (str, int, float, bool, bytes)
_ANYTHING = (Any, object)


class CodecError(ValueError):
    """A stored value is not what its type says: another version wrote it, or it is damaged."""


def same(value: Any) -> Any:
    """Return *value*: what needs no conversion."""
    return value


def optional(type_: Any) -> Any:
    """Return the type that *type_* has when it is not None; *type_* itself if it cannot be None."""
    if get_origin(type_) in _UNIONS:
        rest = [arg for arg in get_args(type_) if arg is not types.NoneType]
        if len(rest) < len(get_args(type_)):
            return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007  made at run time
    return type_


def _bare(type_: Any) -> Any:
    while isinstance(type_, NewType):
        type_ = type_.__supertype__
    return type_


@cache
def encoder(type_: Any) -> Convert:
    """Return the function that turns a value of *type_* into what `json.dumps` takes."""
    type_ = _bare(type_)
    if (inner := optional(type_)) is not type_:
        return _or_none(encoder(inner))
    return _encode_plain(type_) if get_origin(type_) is None else _encode_generic(get_origin(type_), get_args(type_))


@cache
def decoder(type_: Any) -> Convert:
    """Return the function that turns what `json.loads` gave into a value of *type_*, or raises `CodecError`."""
    type_ = _bare(type_)
    if (inner := optional(type_)) is not type_:
        return _or_none(decoder(inner))
    return _decode_plain(type_) if get_origin(type_) is None else _decode_generic(get_origin(type_), get_args(type_))


def _encode_plain(type_: Any) -> Convert:
    if _is_enum(type_):
        return lambda value: value.value
    if hasattr(type_, "__dataclass_fields__"):
        return _encode_dataclass(type_)
    if type_ in (*_SCALARS, *_ANYTHING):
        return same
    raise TypeError(f"no codec for {type_!r}")


def _decode_plain(type_: Any) -> Convert:
    if _is_enum(type_):
        return _decode_enum(type_)
    if hasattr(type_, "__dataclass_fields__"):
        return _decode_dataclass(type_)
    if type_ in _ANYTHING:
        return same
    if type_ in _SCALARS:
        return _decode_scalar(type_)
    raise TypeError(f"no codec for {type_!r}")


def _encode_generic(origin: Any, args: tuple[Any, ...]) -> Convert:
    if origin in _UNIONS:
        return _encode_union(args)
    # Of a tuple or a set the items' type comes first, of a mapping the values' second.
    item = encoder(args[1] if _is_mapping(origin) else args[0])
    if origin is tuple:
        return list if item is same else lambda value: [item(part) for part in value]
    if origin is frozenset:
        return lambda value: sorted(item(part) for part in value)
    if _is_mapping(origin):
        return dict if item is same else lambda value: {key: item(part) for key, part in value.items()}
    raise TypeError(f"no codec for {origin!r}")


def _decode_generic(origin: Any, args: tuple[Any, ...]) -> Convert:
    if origin in _UNIONS:
        return _decode_union(args)
    item = decoder(args[1] if _is_mapping(origin) else args[0])
    if origin is tuple:
        return lambda value: tuple(item(part) for part in _expect(value, list))
    if origin is frozenset:
        return lambda value: frozenset(item(part) for part in _expect(value, list))
    if _is_mapping(origin):
        return lambda value: {key: item(part) for key, part in _expect(value, dict).items()}
    raise TypeError(f"no codec for {origin!r}")


def _is_enum(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Enum)


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _or_none(inner: Convert) -> Convert:
    return same if inner is same else lambda value: None if value is None else inner(value)


def _expect(value: Any, type_: type) -> Any:
    if not isinstance(value, type_):
        raise CodecError(f"expected {type_.__name__}, found {type(value).__name__}")
    return value


def _decode_scalar(type_: type) -> Convert:
    def decode(value: Any) -> Any:
        if type(value) is type_:
            return value
        if type_ is float and type(value) is int:
            return float(value)
        if type_ is bool and value in (0, 1):
            return bool(value)
        raise CodecError(f"expected {type_.__name__}, found {type(value).__name__}")

    return decode


def _decode_enum(type_: type[Enum]) -> Convert:
    members: Mapping[Any, Enum] = {member.value: member for member in type_}

    def decode(value: Any) -> Enum:
        try:
            return members[value]
        except (KeyError, TypeError):
            raise CodecError(f"no {type_.__name__} is called {value!r}") from None

    return decode


def _encode_dataclass(type_: type) -> Convert:
    hints = get_type_hints(type_)
    parts = [(field.name, encoder(hints[field.name])) for field in fields(type_)]
    return lambda value: {name: convert(getattr(value, name)) for name, convert in parts}


def _decode_dataclass(type_: type) -> Convert:
    hints = get_type_hints(type_)
    parts = {field.name: decoder(hints[field.name]) for field in fields(type_)}
    needed = {field.name for field in fields(type_) if field.default is MISSING and field.default_factory is MISSING}

    def decode(value: Any) -> Any:
        _expect(value, dict)
        if unknown := value.keys() - parts.keys():
            raise CodecError(f"{type_.__name__} has no {sorted(unknown)}")
        if missing := needed - value.keys():
            raise CodecError(f"{type_.__name__} lacks {sorted(missing)}")
        return type_(**{name: parts[name](part) for name, part in value.items()})

    return decode


def _encode_union(members: tuple[Any, ...]) -> Convert:
    encoders = {member: (KINDS[member], encoder(member)) for member in members}

    def encode(value: Any) -> Any:
        kind, convert = encoders[type(value)]
        return {"kind": kind, **convert(value)}

    return encode


def _decode_union(members: tuple[Any, ...]) -> Convert:
    decoders = {KINDS[member]: decoder(member) for member in members}

    def decode(value: Any) -> Any:
        rest = dict(_expect(value, dict))
        kind = rest.pop("kind", None)
        if kind not in decoders:
            raise CodecError(f"no kind {kind!r}; known are {sorted(decoders)}")
        return decoders[kind](rest)

    return decode
