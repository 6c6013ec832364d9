"""Values of parameters, made again of what a record says of them.

Whether they are what they were is not believed: who makes a call of them compares its key with the record's.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["find_named", "value_of"]


def value_of(written: Any, classes: Mapping[str, str]) -> Any:
    """Return the value that stands in a record.

    Parameters
    ----------
    written
        As `stargazer.ledger.keys.plain` writes it.
    classes
        Modules of the classes, by their qualified names.

    Raises
    ------
    LookupError
        It is of a kind that only its digest is known of, or of a class that is not here.
    """
    if isinstance(written, list):
        return [value_of(item, classes) for item in written]
    if not isinstance(written, dict):
        return written
    for kind, read in _READ.items():
        if kind in written:
            return read(written[kind], written, classes)
    raise LookupError(f"a value of the kind {', '.join(written) or 'nothing'} cannot be made again of its record")


def find_named(module: str, qualname: str) -> Any:
    """Return what a module calls by a qualified name; it is imported if need be.

    Raises
    ------
    LookupError
        There is no such module or name here.
    """
    try:
        found: Any = sys.modules[module] if module == "__main__" else importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a user's module raises when it is imported
        raise LookupError(f"{module}:{qualname} is not here: {type(error).__name__}: {error}") from error
    return found


def _class(name: str, classes: Mapping[str, str]) -> Any:
    """A class by its qualified name, or by that with its module before it."""
    if name in classes:
        return find_named(classes[name], name)
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            return find_named(".".join(parts[:cut]), ".".join(parts[cut:]))
        except LookupError:
            continue
    raise LookupError(f"the class {name} is not here")


def _enum(name: str, _: Mapping[str, Any], classes: Mapping[str, str]) -> Any:
    kind, member = name.rsplit(".", 1)
    return _class(kind, classes)[member]


def _dataclass(name: str, written: Mapping[str, Any], classes: Mapping[str, str]) -> Any:
    kind = _class(name, classes)
    value = object.__new__(kind)  # `__init__` may have made of its arguments what the fields are
    for field, content in {**written["fields"], **written.get("attributes", {})}.items():
        object.__setattr__(value, field, value_of(content, classes))
    return value


def _derived(base: Any, written: Mapping[str, Any], classes: Mapping[str, str]) -> Any:
    kind, inner = _class(written["class"], classes), value_of(base, classes)
    return kind._make(inner) if hasattr(kind, "_make") else kind(inner)


def _time(kind: str) -> Any:
    def read(text: str, written: Mapping[str, Any], _: Any) -> Any:
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
    return lambda given, *_: getattr(importlib.import_module(module), name)(given)


def _several(module: str, name: str) -> Any:
    return lambda given, *_: getattr(importlib.import_module(module), name)(*given)


_READ: dict[str, Any] = {
    "dataclass": _dataclass,
    "enum": _enum,
    "of": _derived,
    "dict": lambda items, _, classes: {name: value_of(item, classes) for name, item in items},
    "tuple": lambda items, _, classes: tuple(value_of(item, classes) for item in items),
    "set": lambda items, _, classes: {value_of(item, classes) for item in items},
    "frozenset": lambda items, _, classes: frozenset(value_of(item, classes) for item in items),
    "float": lambda text, *_: float(text),
    "complex": lambda text, *_: complex(text),
    "bytes": lambda text, *_: bytes.fromhex(text),
    "bytearray": lambda text, *_: bytearray.fromhex(text),
    "range": lambda given, *_: range(*given),
    "path": lambda text, written, _: find_named("pathlib", written["kind"])(text),
    "decimal": _named("decimal", "Decimal"),
    "fraction": _several("fractions", "Fraction"),
    "uuid": _named("uuid", "UUID"),
    "timedelta": _several("datetime", "timedelta"),
    "datetime": _time("datetime"),
    "date": _time("date"),
    "time": _time("time"),
    "zone": lambda text, *_: _zone(text),
}
"""How each kind of value is read, by the member that tells it."""
