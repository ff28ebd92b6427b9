"""Plain data (as YAML or JSON give it) -> frozen dataclasses, with every mistake named.

Knows nothing of models: it reads the type hints of a dataclass. A union of dataclasses is told apart by the `kind`
that each of them carries as a class variable.
"""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from engine.errors import ConfigError, nearest

T = TypeVar("T")


def build(cls: type[T], data: object, where: str = "config") -> T:
    """A `cls` from a mapping of its fields.

    Args:
        cls: a dataclass whose fields are bool, int, float, str, Literal, tuples, dataclasses, unions of these or None.
        data: the mapping; lists stand for tuples, an int may stand for a float.
        where: the path that errors name; empty at the top.

    Raises:
        ConfigError: an unknown or missing field, or a value of the wrong type; the message says which and where.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} is not a group of fields", got=repr(data), expected=_names(cls))
    hints = {name: hint for name, hint in get_type_hints(cls).items() if get_origin(hint) is not ClassVar}
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    given = {key: value for key, value in data.items() if key != "kind" or "kind" in known}
    for key in given:
        if key not in known:
            near = nearest(str(key), known)
            remedy = f"did you mean {near!r}?" if near else None
            raise ConfigError(f"{where} has no field {key!r}", expected=_names(cls), remedy=remedy)
    for name, field in known.items():
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in given and not has_default:
            raise ConfigError(f"{where} lacks the field {name!r}", expected=_describe(hints[name]))
    return cls(**{key: convert(hints[key], value, f"{where}.{key}" if where else key) for key, value in given.items()})


def convert(hint: Any, value: object, where: str) -> Any:
    """`value` as the type `hint`; raises ConfigError naming `where`."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(get_args(hint), value, where)
    if origin is tuple:
        return _convert_tuple(get_args(hint), value, where)
    if origin is Literal:
        if value in get_args(hint):
            return value
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else build(hint, value, where)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif (hint is bool or not isinstance(value, bool)) and isinstance(value, hint):
        return value
    near = nearest(value, map(str, get_args(hint))) if isinstance(value, str) and origin is Literal else None
    remedy = f"did you mean {near!r}?" if near else None
    raise ConfigError(f"{where} is of the wrong kind", got=repr(value), expected=_describe(hint), remedy=remedy)


def plain(value: object) -> object:
    """The reverse of `build`: dataclasses as dicts (with their `kind`), tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = {"kind": value.kind} if hasattr(value, "kind") else {}
        return kind | {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _convert_union(members: tuple[Any, ...], value: object, where: str) -> Any:
    if value is None and type(None) in members:
        return None
    members = tuple(member for member in members if member is not type(None))
    if len(members) == 1:
        return convert(members[0], value, where)
    kinds = {member.kind: member for member in members}
    if any(isinstance(value, member) for member in members):
        return value
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind not in kinds:
        near = nearest(kind, kinds) if isinstance(kind, str) else None
        remedy = f"did you mean {near!r}?" if near else None
        raise ConfigError(f"{where}.kind is unknown", got=repr(kind), expected=" or ".join(kinds), remedy=remedy)
    return build(kinds[kind], value, where)


def _convert_tuple(members: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{where} is not a list", got=repr(value), expected=f"a list of {_describe(members[0])}")
    if len(members) == 2 and members[1] is Ellipsis:
        members = (members[0],) * len(value)
    if len(members) != len(value):
        raise ConfigError(f"{where} has the wrong length", got=repr(list(value)), expected=f"{len(members)} values")
    pairs = enumerate(zip(members, value, strict=True))
    return tuple(convert(member, item, f"{where}[{i}]") for i, (member, item) in pairs)


def _names(cls: type) -> str:
    return ", ".join(field.name for field in dataclasses.fields(cls))


def _describe(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(arg) for arg in args)
    if origin is Literal:
        return " or ".join(map(str, args))
    if origin is tuple:
        return f"a list of {_describe(args[0])}"
    if hint is type(None):
        return "null"
    return "a group of fields" if dataclasses.is_dataclass(hint) else getattr(hint, "__name__", str(hint))


def need(ok: bool, what: str, got: object, expected: str) -> None:
    """Raises ConfigError unless `ok`."""
    if not ok:
        raise ConfigError(what, got=got, expected=expected)


def positive(owner: object, *names: str) -> None:
    """Raises ConfigError unless the named fields of `owner` are more than 0."""
    for name in names:
        value = getattr(owner, name)
        need(value > 0, f"{type(owner).__name__}.{name} is out of range", value, "more than 0")
