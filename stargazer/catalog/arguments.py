"""Text from the command line, read as the parameters of a workflow."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import typer

from stargazer.errors import AssetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stargazer.assets import Asset
    from stargazer.store import Store
    from stargazer.store.query import Answer

__all__ = ["answered", "draft", "drafts_beside", "read_arguments", "read_filters", "split_pair", "stored"]

TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NONE = ("none", "null", "")
MISSING = inspect.Parameter.empty

READ: dict[Any, Callable[[str], Any]] = {
    int: int, float: float, str: str, complex: complex, Path: Path, Decimal: Decimal, Fraction: Fraction, UUID: UUID,
    date: date.fromisoformat, datetime: datetime.fromisoformat, time: time.fromisoformat,
}  # fmt: skip
"""How text is read as a value of a type."""


def read_arguments(function: Callable[..., Any], pairs: Iterable[str], store: Store) -> dict[str, Any]:
    """Return the arguments of a workflow or task.

    Parameters
    ----------
    function
        What is called.
    pairs
        ``name=value``, as the user wrote them; a list is written with commas, or its name repeated. Of a parameter that
        is a dataclass each field is given by itself: ``options.filter=hard``.
    store
        In which assets are found that are given as CIDs or ids.
    """
    given: dict[str, list[str]] = {}
    for pair in pairs:
        name, text = split_pair(pair, "an argument")
        given.setdefault(name, []).append(text)
    parameters = _parameters(function)
    if unknown := given.keys() - parameters.keys():
        raise typer.BadParameter(f"no parameter {', '.join(sorted(unknown))}; {_usage(function, parameters)}")
    lacking = [name for name, each in parameters.items() if each.default is MISSING and name not in given]
    if lacking:
        raise typer.BadParameter(f"{', '.join(lacking)} missing; {_usage(function, parameters)}")
    return _nested({name: _read(name, texts, parameters[name], store) for name, texts in given.items()}, parameters)


def _nested(values: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Fields that were given by themselves as the dataclasses that they belong to."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        whole, _, field = name.partition(".")
        if field:
            nested.setdefault(whole, {})[field] = value
        else:
            nested[name] = value
    kinds = {name: _dataclass(parameters[name].annotation) for name in nested if name not in values}
    return nested | {name: kind(**nested[name]) for name, kind in kinds.items() if kind}


def _dataclass(hint: Any) -> Any:
    """The dataclass that a parameter takes, unless it is an asset; None if it takes none."""
    from stargazer.assets import Asset

    kinds = typing.get_args(hint) or (hint,)
    found = (kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind))
    return next((kind for kind in found if not issubclass(kind, Asset)), None)


def _parameters(function: Callable[..., Any], *, fields: bool = True) -> dict[str, inspect.Parameter]:
    """Parameters by name, with their annotations resolved; a task's work directory is not among them."""
    from stargazer.calls import Task

    body = function.body if isinstance(function, Task) else function
    parameters = list(inspect.signature(body).parameters.values())
    hints = _hints(body)
    named = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    own = named[1:] if isinstance(function, Task) else named
    found = {each.name: each.replace(annotation=hints.get(each.name, MISSING)) for each in own}
    for name, each in list(found.items()) if fields else ():
        if kind := _dataclass(each.annotation):
            inner = _parameters(kind, fields=False)
            found |= {f"{name}.{field}": one.replace(default=None) for field, one in inner.items()}
    return found


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations; names that are imported for type checkers only are looked up where they mostly come from."""
    import stargazer
    from stargazer.tasks.engines import Engine
    from stargazer.workflows import GatkOptions

    usual = {name: getattr(stargazer, name) for name in stargazer.__all__} | {
        "Engine": Engine,
        "GatkOptions": GatkOptions,
    }
    usual |= {"Sequence": Sequence, "Mapping": Mapping, "Any": Any}
    try:
        return typing.get_type_hints(function, localns=usual | vars(inspect.getmodule(function) or object()))
    except NameError:
        return {}


def _usage(function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> str:
    shown = ", ".join(name if each.default is MISSING else f"[{name}]" for name, each in parameters.items())
    return f"{getattr(function, '__name__', function)} takes {shown or 'nothing'}"


def _read(name: str, texts: list[str], parameter: inspect.Parameter, store: Store) -> Any:
    hint = parameter.annotation
    if hint is MISSING:
        hint = type(parameter.default) if parameter.default not in (MISSING, None) else str
    try:
        return _value(texts, hint, store)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise typer.BadParameter(f"{name}={','.join(texts)}: {error}") from None


def _value(texts: list[str], hint: Any, store: Store) -> Any:
    """Several texts, where a parameter was repeated, are one list."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _alternative(texts, inner, store)
    if _is_list(origin or hint):
        items = [item for text in texts for item in text.split(",") if item]
        read = [_value([item], inner[0] if inner else str, store) for item in items]
        return tuple(read) if (origin or hint) is tuple else read
    if len(texts) > 1:
        raise ValueError("given more than once, but takes one value")
    return _one(texts[0], origin or hint, inner, store)


def _is_list(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Sequence) and not issubclass(kind, (str, bytes))


def _alternative(texts: list[str], kinds: tuple[Any, ...], store: Store) -> Any:
    """The first of the alternatives that fits; text is what fits everything."""
    if type(None) in kinds and texts[0].lower() in NONE:
        return None
    problem: Exception = ValueError("fits no alternative")
    for kind in sorted((kind for kind in kinds if kind is not type(None)), key=lambda kind: kind is str):
        try:
            return _value(texts, kind, store)
        except (ValueError, TypeError, ArithmeticError) as error:
            problem = error
    raise problem


def _one(text: str, kind: Any, inner: tuple[Any, ...], store: Store) -> Any:
    from stargazer.assets import Asset

    if kind is typing.Literal:
        return _chosen(text, {str(each): each for each in inner})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _chosen(text, {each.name: each for each in kind} | {str(each.value): each for each in kind})
    if isinstance(kind, type) and issubclass(kind, Asset):
        return _asset(text, kind, store)
    if kind is bool:
        return _chosen(text.lower(), TRUTHS)
    if kind in READ:
        return READ[kind](text)
    return text if kind is Any else json.loads(text)


def _chosen(text: str, choices: Mapping[str, Any]) -> Any:
    if text not in choices:
        raise ValueError(f"choose one of {', '.join(choices)}")
    return choices[text]


def _asset(text: str, kind: type[Asset], store: Store) -> Asset:
    for asset in store.assemble(cid=text, asset=kind.asset_key, missing="skip") if len(text) != 64 else []:
        return asset
    (asset,) = stored(store, [text])
    if not isinstance(asset, kind):
        raise ValueError(f"{asset!r} is no {kind.__name__}")
    return asset


def stored(store: Store, names: Iterable[str]) -> list[Asset]:
    """Assets by CID or id, with the companions that belong beside them.

    Raises
    ------
    NotFound
        The store does not have one of them.
    """
    return [_named(store, name) for name in names]


def _named(store: Store, name: str) -> Asset:
    from stargazer.cid import parse
    from stargazer.errors import CIDError

    if len(name) == 64:
        return store.get(name)
    try:
        cid = parse(name).text
    except CIDError as error:
        raise typer.BadParameter(f"{name!r} is neither a CID nor the id of an asset: {error}") from None
    return next(iter(store.assemble(cid=cid, missing="skip")), None) or store.get(cid)


# Facts, filters and companions as they are written on the command line.


def split_pair(text: str, what: str = "a fact") -> tuple[str, str]:
    """``name=value`` as two strings."""
    name, equals, value = text.partition("=")
    if not equals or not all(part.isidentifier() for part in name.split(".")):
        raise typer.BadParameter(f"{text!r}: {what} is written name=value")
    return name, value


def draft(kind: str, facts: Iterable[str], **base: Any) -> Asset:
    """An asset of a type with facts read from text."""
    from stargazer.assets import Asset, asset_types, no_type

    if kind not in asset_types():
        raise typer.BadParameter(str(no_type(kind)))
    texts = dict(split_pair(fact) for fact in facts)
    if reserved := texts.keys() & {"asset", "name", "cid", "path"}:
        raise typer.BadParameter(f"{', '.join(reserved)} cannot be a fact; use --as and --name")
    try:
        return Asset.from_keyvalues({"asset": kind, **texts}, **base)
    except AssetError as error:
        raise typer.BadParameter(str(error)) from None


def drafts_beside(companions: Iterable[str]) -> list[Asset]:
    """Companions, each ``type=path`` or a path alone."""
    found = []
    for text in companions:
        kind, equals, path = text.partition("=")
        if not os.path.exists(path if equals and kind.isidentifier() else text):
            raise typer.BadParameter(f"{text!r}: a companion is a file, or TYPE=FILE, but there is no such file")
        found.append(draft(kind, [], path=path) if equals and kind.isidentifier() else draft("asset", [], path=text))
    return found


def read_filters(filters: Iterable[str]) -> dict[str, Any]:
    """Filters for `assemble`; a name that is repeated has several values."""
    wanted: dict[str, list[str]] = {}
    for text in filters:
        name, value = split_pair(text, "a filter")
        wanted.setdefault(name, []).append(value)
    return wanted


def answered(store: Store, filters: Iterable[str]) -> Answer:
    """Answer of a store to filters as they are written; those that nothing could fit are wrong usage."""
    try:
        return store.answer(read_filters(filters))
    except AssetError as error:
        raise typer.BadParameter(str(error)) from None
