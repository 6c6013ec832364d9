"""How assets are made: classes that become frozen dataclasses by themselves, and check what they are given."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, dataclass_transform

from stargazer.assets.base import BASE_CHECKS
from stargazer.assets.registry import claim
from stargazer.assets.schema import Schema, declare, derived_key, schema_of
from stargazer.assets.values import Mismatch
from stargazer.errors import AssetError

__all__ = ["Declared"]

_KEY = re.compile("[a-z][a-z0-9_]*")
_OWN = ("__init__", "__eq__", "__hash__", "__repr__")


class _Signature:
    """What `help` and notebooks show of the constructor."""

    def __get__(self, asset: object, owner: Any) -> Any:
        from inspect import Parameter, Signature

        fields = dataclasses.fields(owner)
        kind = Parameter.POSITIONAL_OR_KEYWORD
        parameters = [Parameter(f.name, kind, default=f.default, annotation=f.type) for f in fields]
        free = [Parameter("free", Parameter.VAR_KEYWORD)] if owner.asset_key == "asset" else []
        return Signature(parameters + free)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, dataclasses.Field))
class Declared:
    """Base of what is declared by its fields: subclasses become frozen dataclasses and are registered."""

    asset_key: ClassVar[str]

    def __init_subclass__(cls, *, key: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        register(cls, key)

    if not TYPE_CHECKING:

        def __init__(self, *positional: Any, **given: Any) -> None:
            schema = schema_of(type(self))
            if positional:
                given = schema.bind(positional, given)
            if schema.bare:
                given = _gather(given)
            checks, values = schema.checks, self.__dict__
            values.update(schema.defaults)
            name = ""
            try:
                for name, value in given.items():
                    values[name] = checks[name](value)
            except Mismatch as mismatch:
                raise schema.invalid(name, given[name], mismatch) from None
            _complete(values, schema)
            if schema.post:
                self.__post_init__()

    __signature__ = _Signature()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        advice = f"dataclasses.replace(asset, {name}=…) makes a changed copy"
        raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} cannot be set; {advice}")

    def __delattr__(self, name: str) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"{type(self).__name__}.{name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        compared = schema_of(type(self)).compared  # type: ignore[arg-type]
        return self is other or bool(compared(self) == compared(other))

    def __hash__(self) -> int:
        return hash((self.asset_key, schema_of(type(self)).compared(self)))  # type: ignore[arg-type]

    def __getstate__(self) -> dict[str, Any]:
        values = self.__dict__.copy()
        values.pop("_id", None)
        return values


def register(cls: Any, key: str) -> None:
    """Make a new subclass a dataclass and put it in the registry.

    Parameters
    ----------
    cls
        The class, just made.
    key
        Its asset key; if empty, the class attribute `asset_key`, or else its name in snake case.
    """
    written = cls.__dict__
    empty = not key and written.keys() <= {"__module__", "__doc__"} and not written.get("__doc__")
    root = Declared in cls.__bases__
    key = "asset" if root else key or written.get("asset_key") or derived_key(cls.__name__)
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise AssetError(f"{cls.__qualname__}: the asset key {key!r} is not in snake case")
    if not root:
        cls.asset_key = key
    declare(cls, {} if root else _root(cls).__dataclass_fields__)
    for name in _OWN:  # in the class itself, so that @dataclass on top leaves them alone
        if name not in cls.__dict__:
            setattr(cls, name, getattr(cls, name))
    cls._mark = os.urandom(8).hex()
    claim(cls, key, empty=empty)


def _root(cls: Any) -> Any:
    return next(base for base in cls.__mro__ if Declared in base.__bases__)


def _gather(given: dict[str, Any]) -> dict[str, Any]:
    """Move the free facts of a bare asset to where they are kept."""
    free = {name: value for name, value in given.items() if name not in BASE_CHECKS}
    if not free:
        return given
    kept = {name: value for name, value in given.items() if name in BASE_CHECKS}
    facts = kept.get("facts", {})
    return {**kept, "facts": {**facts, **free}} if isinstance(facts, Mapping) else kept


def _complete(values: dict[str, Any], schema: Schema) -> None:
    """What depends on several fields."""
    if values["path"] is not None and not values["name"]:
        values["name"] = values["path"].name
    if facts := values["facts"]:
        refused = list(facts) if not schema.bare else [n for n in facts if n.startswith("_") or n in BASE_CHECKS]
        if refused:
            raise schema.unknown(refused)
