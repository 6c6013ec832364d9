"""Values of parameters, made again of what a record says of them, or as people read them.

Whether they are what they were is not believed: who makes a call of them compares its key with the record's.
"""

from __future__ import annotations

import enum
import importlib
import sys
from dataclasses import is_dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from stargazer.fingerprint import module_name
from stargazer.fingerprint.origin import ENGINE
from stargazer.ledger.keys import BASES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["find_named", "readable", "value_of"]


def value_of(written: Any) -> Any:
    """Return the value that stands in a record.

    Parameters
    ----------
    written
        As `stargazer.ledger.keys.plain` writes it.

    Raises
    ------
    LookupError
        It is of a kind that only its digest is known of, of a class that is not here, or is not written so at all.
    """
    try:
        return _value(written)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise LookupError(f"a parameter cannot be made again of its record: {error}") from error


def _value(written: Any) -> Any:
    if isinstance(written, list):
        return [_value(item) for item in written]
    if not isinstance(written, dict):
        return written
    for kind, read in _READ.items():
        if kind in written:
            return read(written[kind], written)
    raise LookupError(f"a value of the kind {', '.join(written) or 'nothing'} cannot be made again of its record")


def find_named(module: str, qualname: str, *, load: bool = False) -> Any:
    """Return what a module calls by a qualified name.

    Parameters
    ----------
    module, qualname
        As a record says.
    load
        Whether the module may be imported. Importing runs its code, and whoever wrote the record chose the name: only
        where this user ran the call, or the module is ours, is it more than a name.

    Raises
    ------
    LookupError
        There is no such module or name here.
    """
    if module not in sys.modules and not load and module.partition(".")[0] != ENGINE:
        raise LookupError(f"{module} is not imported, and its record is not yours: name the file or module with --code")
    try:
        found: Any = sys.modules[module] if module == "__main__" else importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a user's module raises when it is imported
        raise LookupError(f"{module}:{qualname} is not here: {type(error).__name__}: {error}") from error
    return found


def _class(name: str, *bases: type) -> Any:
    """A class by its module and qualified name; whoever wrote the record chose the name, so nothing else is called."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:cut])
        try:
            found = find_named("__main__" if module == module_name("__main__") else module, ".".join(parts[cut:]))
        except LookupError:
            continue
        if isinstance(found, type) and (issubclass(found, bases) if bases else is_dataclass(found)):
            return found
    raise LookupError(f"the class {name} is not here")


def _enum(name: str, _: Mapping[str, Any]) -> Any:
    kind, member = name.rsplit(".", 1)
    return _class(kind, enum.Enum)[member]


def _dataclass(name: str, written: Mapping[str, Any]) -> Any:
    kind = _class(name)
    value = object.__new__(kind)  # `__init__` may have made of its arguments what the fields are
    for field, content in {**written["fields"], **written.get("attributes", {})}.items():
        object.__setattr__(value, field, _value(content))
    return value


def _derived(base: Any, written: Mapping[str, Any]) -> Any:
    kind, inner = _class(written["class"], *BASES), _value(base)
    return kind._make(inner) if hasattr(kind, "_make") else kind(inner)


def _time(kind: str) -> Any:
    def read(text: str, written: Mapping[str, Any]) -> Any:
        import datetime

        value = getattr(datetime, kind).fromisoformat(text)
        if "zone" in written:
            value = value.replace(tzinfo=_zone(written["zone"]))
        return value.replace(fold=written["fold"]) if "fold" in written else value

    return read


def _zone(text: str) -> Any:
    import datetime
    import re
    import zoneinfo

    if not text.startswith("datetime.timezone"):
        return zoneinfo.ZoneInfo(text)
    if text == "datetime.timezone.utc":
        return datetime.UTC
    found = re.fullmatch(r"datetime\.timezone\(datetime\.timedelta\((.*)\)(?:, '.*')?\)", text)
    if not found:
        raise LookupError(f"the time zone {text} cannot be made again of its record")
    parts = (part.partition("=") for part in found[1].split(", ") if "=" in part)
    return datetime.timezone(datetime.timedelta(**{name: int(number) for name, _, number in parts}))


def _named(module: str, name: str) -> Any:
    """What makes a value of one argument."""
    return lambda given, _: getattr(importlib.import_module(module), name)(given)


def _several(module: str, name: str) -> Any:
    return lambda given, _: getattr(importlib.import_module(module), name)(*given)


def _fraction(given: Any, _: Mapping[str, Any]) -> Any:
    """Of two whole numbers: a text such as ``1e999999999`` would be worked out for ever."""
    from fractions import Fraction
    from operator import index

    return Fraction(*map(index, given))


def _path(text: str, written: Mapping[str, Any]) -> PurePath:
    kind: type[PurePath] = _class(f"pathlib.{written['kind']}", PurePath)
    return kind(text)


def _pattern(text: Any, written: Mapping[str, Any]) -> Any:
    import re

    return re.compile(_value(text), written["flags"])


def _scalar(dtype: str, written: Mapping[str, Any]) -> Any:
    import numpy as np

    return np.frombuffer(bytes.fromhex(written["bytes"]), dtype)[0]


_READ: dict[str, Any] = {
    "scalar": _scalar,
    "pattern": _pattern,
    "dataclass": _dataclass,
    "enum": _enum,
    "of": _derived,
    "dict": lambda items, _: {name: _value(item) for name, item in items},
    "tuple": lambda items, _: tuple(_value(item) for item in items),
    "set": lambda items, _: {_value(item) for item in items},
    "frozenset": lambda items, _: frozenset(_value(item) for item in items),
    "float": lambda text, _: float(text),
    "complex": lambda text, _: complex(text),
    "bytes": lambda text, _: bytes.fromhex(text),
    "bytearray": lambda text, _: bytearray.fromhex(text),
    "range": lambda given, _: range(*given),
    "path": _path,
    "decimal": _named("decimal", "Decimal"),
    "fraction": _fraction,
    "uuid": _named("uuid", "UUID"),
    "timedelta": _several("datetime", "timedelta"),
    "datetime": _time("datetime"),
    "date": _time("date"),
    "time": _time("time"),
    "zone": lambda text, _: _zone(text),
}
"""How each kind of value is read, by the member that tells it."""


# As people read them.


def _is_pairs(value: Any) -> bool:
    """Whether a value is what `ordered` writes."""
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )


def readable(value: Any) -> Any:
    """Return what `plain` was given, as far as it can be told: values of classes as text."""
    if isinstance(value, list):
        return [readable(item) for item in value]
    if not isinstance(value, dict) or not value:
        return value
    kind = next((name for name in READ if name in value and _is_as_written(name, value)), None)
    if kind is not None:
        return READ[kind](value)
    told = {name: item for name, item in value.items() if name not in DETAILS} or value
    return value.get("value", next(iter(told.values())))


def _is_as_written(kind: str, value: Any) -> bool:
    """Whether a value of a record has the form that `plain` writes; what stands in a record may be anything."""
    if kind == "dict":
        return _is_pairs(value["dict"])
    if kind in ("tuple", "set", "frozenset"):
        return isinstance(value[kind], list)
    if kind in ("array", "dataframe", "series"):
        return isinstance(value.get("shape"), list)
    if kind == "enum":
        return isinstance(value["enum"], str)
    named = value.get("dataclass") or value.get("class")
    return isinstance(named, str) and all(isinstance(value.get(part, {}), dict) for part in ("fields", "attributes"))


def _of_class(value: Any) -> Any:
    members = {**value.get("fields", {}), **value.get("attributes", {})}
    shown = ", ".join(f"{name}={readable(item)!r}" for name, item in members.items())
    held = f"{readable(value['of'])!r}" if "of" in value else ""
    return f"{_short(value.get('dataclass') or value['class'])}({', '.join(filter(None, (held, shown)))})"


def _short(name: str) -> str:
    """A qualified name without its module."""
    return name.rpartition(".")[2] if "<locals>" not in name else name.rpartition(">.")[2]


DETAILS = ("zone", "fold", "kind", "flags")

READ: dict[str, Any] = {
    "dict": lambda value: {name: readable(item) for name, item in value["dict"]},
    "tuple": lambda value: tuple(readable(item) for item in value["tuple"]),
    "set": lambda value: "{" + ", ".join(repr(readable(item)) for item in value["set"]) + "}",
    "frozenset": lambda value: "{" + ", ".join(repr(readable(item)) for item in value["frozenset"]) + "}",
    "dataclass": _of_class,
    "of": _of_class,
    "enum": lambda value: ".".join(value["enum"].rsplit(".", 2)[-2:]),
    "array": lambda value: f"array of {value.get('dtype')} {tuple(value['shape'])} {value['array']}",
    "dataframe": lambda value: f"data frame {tuple(value['shape'])} {value['dataframe']}",
    "series": lambda value: f"series {tuple(value['shape'])} {value['series']}",
}
"""How to read what `plain` wrote of values that are more than one text."""
