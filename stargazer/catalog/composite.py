"""Kinds made of others: lists, dicts, dataclasses, alternatives."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets.fields import did_you_mean
from stargazer.catalog.kinds import Defs, Kind, Nothing, Scalar, Text, Unfit, as_json, described, named, shown
from stargazer.errors import StargazerError
from stargazer.store.references import SCHEME, as_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stargazer.catalog.given import Finder

__all__ = ["Either", "Field", "Fields", "Items", "Members", "given_paths", "json_of"]


class Items(Kind):
    """A list, tuple or set.

    Parameters
    ----------
    made
        ``list``, ``tuple``, ``set`` or ``frozenset``.
    items
        The kind of each item; of a tuple of fixed length, one for each.
    fixed
        Whether the length is fixed.
    """

    flat = False

    def __init__(self, made: type, items: Sequence[Kind], *, fixed: bool = False) -> None:
        self.made, self.items, self.fixed = made, list(items), fixed

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.items))
        return f"{self.made.__name__}[{inner}{', …' if self.made is tuple and not self.fixed else ''}]"

    def schema(self, defs: Defs) -> dict[str, Any]:
        """An array."""
        parts = [item.schema(defs) for item in self.items]
        if self.fixed:
            length = len(parts)
            prefix = {"prefixItems": parts} if parts else {}
            return {"type": "array", **prefix, "minItems": length, "maxItems": length}
        unique = {"uniqueItems": True} if self.made in (set, frozenset) else {}
        return {"type": "array", "items": parts[0], **unique}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """Each item, read."""
        if not isinstance(value, (list, tuple)):
            raise Unfit(f"{place}: {shown(value)} is no list")
        if self.fixed and len(value) != len(self.items):
            raise Unfit(f"{place}: has {len(value)} items, and wants {len(self.items)}")
        kinds = self.items if self.fixed else self.items * len(value)
        pairs = enumerate(zip(kinds, value, strict=True))
        read = [kind.read(item, f"{place}[{number}]", finder) for number, (kind, item) in pairs]
        made = self.made(read)
        if len(made) < len(read):
            raise Unfit(f"{place}: an item stands there twice")
        return made

    def parse(self, texts: Sequence[str]) -> Any:
        """Items between commas, or a JSON array."""
        if len(texts) == 1 and texts[0].startswith("["):
            return json_of(texts[0], "a list between [ and ]")
        items = [item for text in texts for item in (text.split(",") if self._flat() else [text]) if item]
        kinds = self.items if self.fixed else self.items * len(items)
        if self.fixed and len(items) != len(kinds):
            raise ValueError(f"takes {len(kinds)} values, with commas between them")
        return [kind.parse_one(item) for kind, item in zip(kinds, items, strict=True)]

    def parse_one(self, text: str) -> Any:
        """As `parse`."""
        return self.parse([text])

    def _flat(self) -> bool:
        return all(item.flat for item in self.items)


class Members(Kind):
    """A dict by name.

    Parameters
    ----------
    value
        The kind of each value.
    """

    flat = False

    def __init__(self, value: Kind) -> None:
        self.value = value

    def __str__(self) -> str:
        return f"dict[str, {self.value}]"

    def schema(self, defs: Defs) -> dict[str, Any]:
        """An object with any names."""
        return {"type": "object", "additionalProperties": self.value.schema(defs)}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """Each value, read."""
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise Unfit(f"{place}: {shown(value)} is no object")
        return {name: self.value.read(each, f"{place}.{name}", finder) for name, each in value.items()}

    def parse_one(self, text: str) -> Any:
        """A JSON object."""
        return json_of(text, 'an object, as {"name": …}')


BOUNDS = ("minimum", "maximum")
"""What metadata of a dataclass's field may say of its numbers, as JSON Schema says it; the class refuses others."""


class Field(NamedTuple):
    """A field of a dataclass or named tuple."""

    kind: Kind
    required: bool
    default: Any = None
    bounds: Mapping[str, Any] = {}


class Fields(Kind):
    """A dataclass or named tuple, field by field.

    Parameters
    ----------
    type
        The class.
    kind_of
        Gives the kind of an annotation.
    """

    flat = False

    def __init__(self, type: Any, kind_of: Callable[[Any], Kind]) -> None:
        self.type, self._kind_of = type, kind_of

    def __str__(self) -> str:
        return str(self.type.__name__)

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Fields by name."""
        from stargazer.catalog.hints import annotations_of

        hints = annotations_of(self.type)
        if not dataclasses.is_dataclass(self.type):
            defaults = self.type._field_defaults
            return {
                name: Field(self._kind_of(hints.get(name, Any)), name not in defaults, defaults.get(name))
                for name in self.type._fields
            }
        missing = dataclasses.MISSING
        return {
            each.name: Field(
                self._kind_of(hints.get(each.name, Any)),
                each.default is missing and each.default_factory is missing,
                None if each.default is missing else each.default,
                {name: each.metadata[name] for name in BOUNDS if name in each.metadata},
            )
            for each in dataclasses.fields(self.type)
            if each.init
        }

    def schema(self, defs: Defs) -> dict[str, Any]:
        """Return the JSON Schema of a value: a reference to the class's definition, which is added to `defs`."""
        from stargazer.catalog.docstrings import read_docstring

        name = named(defs, self.type)
        if name not in defs:
            defs[name] = {"x-class": f"{self.type.__module__}.{self.type.__qualname__}"}  # it may hold itself
            told = read_docstring(self.type)
            properties = {}
            for field, (kind, required, default, bounds) in self.fields.items():
                properties[field] = {**described(kind.schema(defs), told.parameters.get(field, "")), **bounds}
                if not required and default is not None and (plain := as_json(default)) is not None:
                    properties[field]["default"] = plain
            needed = [field for field, each in self.fields.items() if each.required]
            defs[name] |= {"type": "object", "properties": properties, "required": needed}
            defs[name] |= {"additionalProperties": False, "description": told.summary}
        return {"$ref": f"#/$defs/{name}"}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """An object of the class, its fields read."""
        if isinstance(value, self.type):
            return value
        if not isinstance(value, Mapping):
            raise Unfit(f"{place}: {shown(value)} is no object with fields of {self}")
        for name in value:
            if name not in self.fields:
                guess = did_you_mean(str(name), self.fields)
                raise Unfit(f"{place}: {self} has no field {name!r}.{guess} It has {', '.join(self.fields)}")
        lacking = [name for name, field in self.fields.items() if field.required and name not in value]
        if lacking:
            raise Unfit(f"{place}: {', '.join(lacking)} of {self} missing")
        read = {name: self.fields[name].kind.read(each, f"{place}.{name}", finder) for name, each in value.items()}
        try:
            return self.type(**read)
        except (ValueError, TypeError, ArithmeticError, LookupError, AssertionError, StargazerError) as error:
            raise Unfit(f"{place}: {error}") from error

    def parse_one(self, text: str) -> Any:
        """A JSON object."""
        return json_of(text, 'an object, as {"name": …}')


class Either(Kind):
    """One of several kinds.

    Parameters
    ----------
    kinds
        At least two; the first that fits is taken.
    """

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self.kinds = list(kinds)
        self.flat = all(kind.flat for kind in self.kinds)

    def __str__(self) -> str:
        return " | ".join(map(str, self.kinds))

    @property
    def takes_text(self) -> bool:
        """Whether any text fits."""
        return any(isinstance(kind, Scalar) and kind.type is str for kind in self.kinds)

    def schema(self, defs: Defs) -> dict[str, Any]:
        """Any of theirs."""
        return {"anyOf": [kind.schema(defs) for kind in self.kinds]}

    def read(self, value: Any, place: str, finder: Finder) -> Any:
        """The value by the first kind that it fits; a URI names an asset, also where any text would do."""
        problems = []
        is_uri = isinstance(value, str) and value.startswith(SCHEME)
        for kind in sorted(self.kinds, key=lambda kind: not (is_uri and kind.names_assets)):
            try:
                return kind.read(value, place, finder)
            except Unfit as error:
                problems.append((isinstance(kind, Nothing), error))
        problems.sort(key=lambda each: each[0])
        raise problems[0][1] if len(problems) == 1 or problems[1][0] else Unfit(f"{place}: {shown(value)} is no {self}")

    def parse(self, texts: Sequence[str]) -> Any:
        """The text by the first kind that it fits; what fits everything is text, and a list has commas."""
        problem = ValueError("fits no alternative")
        for kind in sorted(self.kinds, key=lambda kind: self._rank(kind, texts)):
            try:
                found = kind.parse(texts)
            except ValueError as error:
                problem = problem if isinstance(kind, Nothing) and len(self.kinds) > 1 else error
            else:
                return as_uri(found) if kind.names_assets and self.takes_text else found
        raise problem

    def parse_one(self, text: str) -> Any:
        """As `parse`."""
        return self.parse([text])

    def _rank(self, kind: Kind, texts: Sequence[str]) -> int:
        if isinstance(kind, Nothing):
            return 0
        if isinstance(kind, Scalar) and kind.type is str:
            return 3
        several = len(texts) > 1 or "," in texts[0] or texts[0].startswith("[")
        return (2 if several else 4) if not kind.flat else 1


def json_of(text: str, wanted: str) -> Any:
    """Read what was typed as JSON, or raise ValueError, which says what is wanted."""
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"is not {wanted}, written as JSON") from None


def given_paths(kind: Kind, value: Any) -> Iterator[str]:
    """Yield the texts of a JSON value that are, or may be, paths: who serves others judges them before they are read.

    Parameters
    ----------
    kind
        What the value is.
    value
        What was given; what does not fit has no paths, for it is refused.
    """
    if isinstance(kind, Text) and issubclass(kind.type, PurePath) and isinstance(value, str):
        yield value
    elif isinstance(kind, Either):
        for each in kind.kinds:
            yield from given_paths(each, value)
    elif isinstance(kind, Items) and isinstance(value, (list, tuple)):
        for each, item in zip(kind.items if kind.fixed else kind.items * len(value), value, strict=False):
            yield from given_paths(each, item)
    elif isinstance(kind, Members) and isinstance(value, Mapping):
        for item in value.values():
            yield from given_paths(kind.value, item)
    elif isinstance(kind, Fields) and isinstance(value, Mapping):
        for name in value.keys() & kind.fields:
            yield from given_paths(kind.fields[name].kind, value[name])
