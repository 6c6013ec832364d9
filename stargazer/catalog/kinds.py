"""What a parameter may be: one object says it as JSON Schema, reads JSON by it, and reads what people type.

Schema and reader stand side by side, so that what the one lets through the other takes.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stargazer.catalog.given import Finder

__all__ = ["Anything", "Choice", "Defs", "Kind", "NotJson", "Nothing", "Scalar", "Text", "Unfit", "as_json",
           "described", "named", "shown"]  # fmt: skip

Defs = dict[str, dict[str, Any]]
"""Definitions of a schema, by name."""


class Unfit(Exception):
    """A value that is none of its kind; the message says where, and what would be."""


class Kind:
    """What a parameter may be."""

    flat = True
    """Whether people type a value as one word, so that several stand between commas."""

    names_assets = False
    """Whether texts are names of assets."""

    def schema(self, defs: Defs) -> dict[str, Any]:
        """Return it as JSON Schema 2020-12; named parts go to `defs`."""
        raise NotImplementedError

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """Return a JSON value as Python's, or raise `Unfit`."""
        raise NotImplementedError

    def parse(self, texts: Sequence[str]) -> Any:
        """Return what was typed as a JSON value, or raise ValueError; several texts where a name was repeated."""
        return self.parse_one(one_of(texts))

    def parse_one(self, text: str) -> Any:
        """Return one text as a JSON value."""
        raise NotImplementedError


def one_of(texts: Sequence[str]) -> str:
    """The only text."""
    if len(texts) > 1:
        raise ValueError("given more than once, but takes one value")
    return texts[0]


def shown(value: Any) -> str:
    """A wrong value in a message."""
    text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


class Anything(Kind):
    """Any JSON value: where there is no annotation."""

    def __str__(self) -> str:
        return "any value"

    def schema(self, defs: Defs) -> dict[str, Any]:
        """No restriction."""
        return {}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """The value itself."""
        return value

    def parse_one(self, text: str) -> Any:
        """The text itself."""
        return text


class NotJson(Kind):
    """What only Python can give, as a function or an array.

    Parameters
    ----------
    text
        The annotation.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def schema(self, defs: Defs) -> dict[str, Any]:
        """Nothing fits."""
        return {"not": {}, "description": f"{self.text}: can only be given in Python."}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """Refuse it."""
        raise Unfit(f"{place}: {self.text} can only be given in Python")

    def parse_one(self, text: str) -> Any:
        """Refuse it."""
        raise ValueError(f"{self.text} can only be given in Python")


TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _read_integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("is no whole number") from None


def _read_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("is no number") from None


def _read_truth(text: str) -> bool:
    if text.lower() not in TRUTHS:
        raise ValueError(f"choose one of {', '.join(TRUTHS)}")
    return TRUTHS[text.lower()]


class Scalar(Kind):
    """A truth, number or text.

    Parameters
    ----------
    type
        ``bool``, ``int``, ``float`` or ``str``.
    """

    NAMES: ClassVar = {bool: "boolean", int: "integer", float: "number", str: "string"}
    PARSERS: ClassVar[dict[type, Callable[[str], Any]]] = {
        bool: _read_truth, int: _read_integer, float: _read_number, str: str
    }  # fmt: skip

    def __init__(self, type: type) -> None:
        self.type = type

    def __str__(self) -> str:
        return self.type.__name__

    def schema(self, defs: Defs) -> dict[str, Any]:
        """Its type."""
        return {"type": self.NAMES[self.type]}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """The value; JSON has one type of numbers, and 3.0 is a whole one."""
        kind = type(value)
        if kind is self.type:
            return value
        if self.type is float and kind is int:
            try:
                return float(value)
            except OverflowError:
                raise Unfit(f"{place}: the number is too large") from None
        if self.type is int and kind is float and value.is_integer():
            return int(value)
        raise Unfit(f"{place}: {shown(value)} is no {self}")

    def parse_one(self, text: str) -> Any:
        """The text as that type."""
        return self.PARSERS[self.type](text)


class Nothing(Kind):
    """None."""

    def __str__(self) -> str:
        return "None"

    def schema(self, defs: Defs) -> dict[str, Any]:
        """Null."""
        return {"type": "null"}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """None."""
        if value is not None:
            raise Unfit(f"{place}: {shown(value)} is not null")

    def parse_one(self, text: str) -> Any:
        """None, if the text says so."""
        if text.lower() not in ("none", "null", ""):
            raise ValueError("is not none")


class Form(NamedTuple):
    """How a type of Python's own is written as text."""

    read: Callable[[str], Any]
    schema: dict[str, str]


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_DATE, _TIME = r"\d{4}-\d{2}-\d{2}", r"\d{2}:\d{2}(:\d{2}(\.\d{3}(\d{3})?)?)?(Z|[+-]\d{2}:\d{2})?"
FORMS: dict[Any, Form] = {
    Decimal: Form(Decimal, {"pattern": r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$"}),
    Fraction: Form(Fraction, {"pattern": r"^[+-]?\d+(/0*[1-9]\d*)?$"}),
    UUID: Form(UUID, {"format": "uuid"}),
    date: Form(date.fromisoformat, {"format": "date", "pattern": f"^{_DATE}$"}),
    datetime: Form(datetime.fromisoformat, {"format": "date-time", "pattern": f"^{_DATE}([T ]{_TIME})?$"}),
    time: Form(time.fromisoformat, {"format": "time", "pattern": f"^{_TIME}$"}),
    complex: Form(complex, {}),
    bytes: Form(_bytes, {"contentEncoding": "base64"}),
}
"""Types whose values are written as text."""


class Text(Kind):
    """A value that is written as text: a path, decimal, date.

    Parameters
    ----------
    type
        One of `FORMS`, or a class of paths.
    """

    def __init__(self, type: Any) -> None:
        self.type = type
        path = Form(type, {"format": "path"}) if issubclass(type, PurePath) else None
        self.form = path or FORMS[type]

    def __str__(self) -> str:
        return str(self.type.__name__)

    def schema(self, defs: Defs) -> dict[str, Any]:
        """A string of that form."""
        return {"type": "string", **self.form.schema}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """The value that is written so."""
        if isinstance(value, self.type):
            return value
        if not isinstance(value, str):
            raise Unfit(f"{place}: {shown(value)} is no text of a {self}")
        try:
            return self.form.read(value)
        except (ValueError, ArithmeticError, binascii.Error):
            raise Unfit(f"{place}: {shown(value)} is no {self}") from None

    def parse_one(self, text: str) -> Any:
        """The text itself, checked."""
        try:
            self.form.read(text)
        except (ValueError, ArithmeticError, binascii.Error):
            raise ValueError(f"is no {self}") from None
        return text


class Choice(Kind):
    """One of some values: a ``Literal``, or the members of an enum by their names.

    Parameters
    ----------
    choices
        Values by how they are written in JSON.
    """

    def __init__(self, choices: Sequence[tuple[Any, Any]]) -> None:
        self.choices = list(choices)

    @classmethod
    def of_enum(cls, kind: type[enum.Enum]) -> Choice:
        """Members by name, and by value where JSON has such a value."""
        names = [(member.name, member) for member in kind]
        simple = [(each.value, each) for each in kind if type(each.value) in (str, int, float, bool)]
        return cls([*names, *(pair for pair in simple if pair[0] not in {name for name, _ in names})])

    def __str__(self) -> str:
        return " | ".join(repr(written) for written, _ in self.choices)

    def schema(self, defs: Defs) -> dict[str, Any]:
        """All that may be written."""
        return {"enum": [written for written, _ in self.choices]}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """What is written so."""
        for written, meant in self.choices:
            if isinstance(value, bool) == isinstance(written, bool) and (value == written or value is meant):
                return meant
        raise Unfit(f"{place}: {shown(value)} is not one of {', '.join(shown(each) for each, _ in self.choices)}")

    def parse_one(self, text: str) -> Any:
        """The value that reads so."""
        for written, _ in self.choices:
            if str(written) == text:
                return written
        raise ValueError(f"choose one of {', '.join(str(each) for each, _ in self.choices)}")


def named(defs: Defs, cls: type) -> str:
    """Return the name of a class among the definitions: its own, unless another class has it."""
    place, name, number = f"{cls.__module__}.{cls.__qualname__}", cls.__name__, 2
    while defs.get(name, {}).get("x-class", place) != place:
        name, number = f"{cls.__name__}_{number}", number + 1
    return name


def described(schema: dict[str, Any], text: str) -> dict[str, Any]:
    """A schema with what is said of it."""
    if not text:
        return schema
    if "description" in schema:
        return {**schema, "description": f"{text} {schema['description']}"}
    return {**schema, "description": text}


def as_json(value: Any) -> Any:
    """Return a default as a JSON value; None if it has none."""
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (Path, Decimal, Fraction, UUID)):
        return str(value)
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: as_json(each) for name, each in value._asdict().items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): as_json(each) for name, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return None
