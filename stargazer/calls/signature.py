"""What a task takes and returns, read from the signature of its body."""

from __future__ import annotations

import builtins
import copy
import enum
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from stargazer.assets import Asset
from stargazer.errors import DefinitionError
from stargazer.ledger.keys import plain
from stargazer.ledger.parameters import EXACT, Naming, is_memo, members_of, python_value

__all__ = [
    "REQUIRED",
    "AssetParameter",
    "Check",
    "PlainParameter",
    "Returns",
    "Signature",
    "Unfit",
    "check_for",
    "read_signature",
    "read_wiring",
    "shown",
]

# Does a plain value fit its annotation? Compiled once a parameter, asked at every call.


REQUIRED = inspect.Parameter.empty

Check = Callable[[Any], Any]
"""Returns the value, perhaps converted (an int where a float is wanted); raises TypeError."""


class Unfit(TypeError):
    """A value does not fit; the message is what would."""


def check_for(annotation: Any) -> Check:
    """Return the check for one annotation; anything plain passes where there is none (`REQUIRED`) or an unknown one."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return check_for(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _any_of([check_for(argument) for argument in arguments], annotation)
    if origin is typing.Literal:
        return _one_of(arguments)
    if origin in ITEMS:
        return _items(origin, arguments, annotation)
    if origin in (dict, Mapping):
        return _values(check_for(arguments[1]), annotation)
    if isinstance(origin, type) and (is_dataclass(origin) or _is_exact(origin)):
        return _instance(origin)
    if annotation in (None, type(None)):
        return _exactly((type(None),), annotation)
    return _simple(annotation)


ITEMS = (list, tuple, Sequence, set, frozenset)


def shown(annotation: Any) -> str:
    """Return an annotation as people write it."""
    if annotation is REQUIRED:
        return "a plain value"
    if annotation is type(None):
        return "None"
    return (
        annotation.__qualname__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)
    )


def _simple(annotation: Any) -> Check:
    if annotation is float or annotation is complex:
        return NUMBERS[annotation]
    if annotation in (int, str, bool, bytes):
        return _exactly((annotation,), annotation)
    if isinstance(annotation, type) and (issubclass(annotation, (enum.Enum, PurePath)) or is_dataclass(annotation)):
        return _instance(annotation)
    if annotation in (list, tuple, dict, set, frozenset) or _is_exact(annotation):
        return _plain_of(annotation)
    return _plain


def _is_exact(annotation: Any) -> bool:
    return isinstance(annotation, type) and f"{annotation.__module__}.{annotation.__qualname__}" in EXACT


def _plain_of(kind: type) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise Unfit(kind.__name__)
        return _plain(value)

    return check


class _Unnamed(Naming):
    """Asks whether a value can be part of a key, not which."""

    def of_class(self, cls: type) -> dict[str, str]:
        return {"class": cls.__qualname__}


_UNNAMED = _Unnamed()


def _plain(value: Any) -> Any:
    value = settled(value)
    plain(value, _UNNAMED)
    return value


def settled(value: Any) -> Any:
    """Return a value with NumPy's scalars as Python's, and the fields of dataclasses checked against their types.

    Parameters
    ----------
    value
        Of any type.

    Raises
    ------
    Unfit
        A field of a dataclass has another type than it declares.
    """
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind(map(settled, value))
    if kind is dict:
        return {key: settled(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return _settled_tuple(value)
    if is_dataclass(value) and not isinstance(value, (type, enum.Enum)):
        return _settled_dataclass(value)
    return python_value(value)


def _settled_tuple(value: Any) -> Any:
    found = tuple.__new__(type(value), map(settled, tuple.__iter__(value)))
    found.__dict__.update(value.__dict__) if hasattr(value, "__dict__") else None
    return found


def _settled_dataclass(value: Any) -> Any:
    """A copy with its fields checked, and converted as parameters are; what it only remembers is forgotten."""
    found = copy.copy(value)
    cls: Any = type(value)
    checks = _field_checks(cls)
    for name, member in members_of(value).items():
        object.__setattr__(found, name, _checked_field(cls, name, checks[name], member))
    for name in [name for name in getattr(found, "__dict__", {}) if is_memo(cls, name)]:
        del found.__dict__[name]
    return found


def _checked_field(cls: type, name: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except Unfit as error:
        raise Unfit(f"{cls.__name__}.{name}: {error}") from None
    except TypeError as error:
        raise TypeError(f"{cls.__name__}.{name}: {error}") from None


@functools.lru_cache(maxsize=512)
def _field_checks(cls: Any) -> dict[str, Check]:
    return {field.name: check_for(_hint(cls, field.name, field.type)) for field in fields(cls)}


def _hint(cls: type, name: str, written: Any) -> Any:
    """Type of a field; anything plain fits where its name cannot be resolved, as that of a class in a function."""
    if not isinstance(written, str):
        return written
    for base in cls.__mro__:
        if name in vars(base).get("__annotations__", {}):
            scope = vars(sys.modules.get(base.__module__, builtins))
            try:
                return typing.get_type_hints(types.SimpleNamespace(__annotations__={name: written}), scope)[name]
            except (NameError, AttributeError, SyntaxError, TypeError):
                break
    return REQUIRED


def _float(value: Any) -> float:
    value = python_value(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unfit("float")
    return float(value)


def _complex(value: Any) -> complex:
    value = python_value(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, complex)):
        raise Unfit("complex")
    return complex(value)


NUMBERS: dict[Any, Check] = {float: _float, complex: _complex}


def _exactly(kinds: tuple[type, ...], annotation: Any) -> Check:
    def check(value: Any) -> Any:
        if type(value) in kinds:
            return value
        item = python_value(value)
        if type(item) in kinds:
            return item
        raise Unfit(shown(annotation))

    return check


def _instance(annotation: type) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, annotation):
            raise Unfit(shown(annotation))
        return settled(value)

    return check


def _one_of(allowed: tuple[Any, ...]) -> Check:
    def check(value: Any) -> Any:
        if not any(value == each and type(value) is type(each) for each in allowed):
            raise Unfit("one of " + ", ".join(map(repr, allowed)))
        return value

    return check


def _any_of(checks: list[Check], annotation: Any) -> Check:
    def check(value: Any) -> Any:
        for each in checks:
            try:
                return each(value)
            except TypeError:
                continue
        raise Unfit(shown(annotation))

    return check


def _items(origin: Any, arguments: tuple[Any, ...], annotation: Any) -> Check:
    fixed = origin is tuple and Ellipsis not in arguments
    checks = [check_for(argument) for argument in arguments if argument is not Ellipsis]
    kinds = (origin,) if origin in (set, frozenset) else (list, tuple)
    made = origin if origin in (tuple, set, frozenset) else list

    def check(value: Any) -> Any:
        if not isinstance(value, kinds) or (fixed and len(value) != len(checks)):
            raise Unfit(shown(annotation))
        each = checks if fixed else checks * len(value)
        return made(one(item) for one, item in zip(each, value, strict=True))

    return check


def _values(each: Check, annotation: Any) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise Unfit(shown(annotation))
        return {key: each(item) for key, item in value.items()}

    return check


Shape = typing.Literal["one", "list", "dict"]


class AssetParameter(NamedTuple):
    """A positional parameter: one asset, a list or a dict of them; of a function that wires, also of lists or dicts."""

    name: str
    shape: Shape
    type: type[Asset]
    optional: bool
    default: Any = REQUIRED
    within: Shape = "one"
    """What each element of a list or dict is."""

    @property
    def items(self) -> AssetParameter:
        """An element of a list or dict."""
        return AssetParameter(self.name, self.within, self.type, False)

    def __str__(self) -> str:
        inner = self.type.__name__ if self.shape == "one" else str(self.items)
        whole = {"one": inner, "list": f"list[{inner}]", "dict": f"dict[str, {inner}]"}[self.shape]
        return f"{whole} | None" if self.optional else whole


class PlainParameter(NamedTuple):
    """A keyword-only parameter: a plain value."""

    name: str
    annotation: str
    check: Check
    default: Any = REQUIRED


class Returns(NamedTuple):
    """What a task returns.

    Parameters
    ----------
    shape
        ``"one"`` asset, ``"tuple"``, ``"list"``, ``"dict"``, ``"plain"``, or ``"unknown"`` without an annotation.
    types
        The asset type; of a tuple, each element's (None where it is no asset).
    named
        The ``NamedTuple`` class, if it is one.
    plain
        Whether there is no file in it.
    """

    shape: str
    types: tuple[type[Asset] | None, ...] = ()
    named: type | None = None
    plain: bool = False

    @property
    def length(self) -> int | None:
        """Number of elements of a tuple, else None."""
        return len(self.types) if self.shape == "tuple" else None


class Signature(NamedTuple):
    """Parameters and result of a task, and the check of a plain result."""

    assets: tuple[AssetParameter, ...]
    plains: tuple[PlainParameter, ...]
    returns: Returns
    check: Check


def check_form(body: Callable[..., Any], *, wires: bool = False) -> None:
    """Check what can be checked before the annotations can be read.

    Parameters
    ----------
    body
        Of a task.
    wires
        Whether it wires calls instead, and has no work directory.

    Raises
    ------
    DefinitionError
        No work directory, ``*args``, ``**kwargs``, or a coroutine.
    """
    where = f"task {body.__name__}"
    parameters = list(inspect.signature(body).parameters.values())
    if inspect.iscoroutinefunction(body) or inspect.isgeneratorfunction(body):
        raise DefinitionError(f"{where}: a body is a plain function, neither async nor a generator")
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not wires and (not parameters or parameters[0].kind not in positional):
        raise DefinitionError(
            f"{where}: the first parameter is the work directory: def {body.__name__}(work: sg.Workdir, …)"
        )
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise DefinitionError(
                f"{where}: *{parameter.name} has no fixed identity; use a list[…] or name each parameter"
            )


def read_signature(body: Callable[..., Any]) -> Signature:
    """Read the annotations of a body.

    Raises
    ------
    DefinitionError
        The first parameter is not the work directory, another positional one is no asset, or an annotation cannot be
        resolved.
    """
    check_form(body)
    hints = _hints(body)
    first, *parameters = inspect.signature(body).parameters.values()
    _refuse_first(body.__name__, first, hints.get(first.name, Any))
    keywords = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    positional = [p for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    returned = hints.get("return", REQUIRED)
    return Signature(
        tuple(_asset_parameter(body.__name__, p, hints.get(p.name)) for p in positional),
        tuple(_plain_parameter(p, hints.get(p.name, REQUIRED)) for p in keywords),
        _returns(returned),
        check_for(returned),
    )


def read_wiring(body: Callable[..., Any], call: type) -> Signature:
    """Read the annotations of a function that wires calls: assets and plain values stand in any position.

    Parameters
    ----------
    body
        The function.
    call
        Type of calls; what is declared to return them says nothing of their results.

    Raises
    ------
    DefinitionError
        A parameter has no annotation, or one of something that no call could be given.
    """
    check_form(body, wires=True)
    hints = _hints(body)
    assets, plains = [], []
    for parameter in inspect.signature(body).parameters.values():
        hint = hints.get(parameter.name, REQUIRED)
        if (found := _as_asset(parameter, hint, nested=True)) is not None:
            assets.append(found)
        elif (hint is not REQUIRED or parameter.kind is parameter.KEYWORD_ONLY) and not _names_any(hint, (Asset, call)):
            plains.append(_plain_parameter(parameter, hint))
        else:
            raise _neither(body.__name__, parameter.name, hint)
    returned = hints.get("return", REQUIRED)
    returned = REQUIRED if _names_any(returned, call) else returned
    return Signature(tuple(assets), tuple(plains), _returns(returned), check_for(returned))


def _neither(name: str, parameter: str, hint: Any) -> DefinitionError:
    return DefinitionError(
        f"dynamic {name}: {parameter} is annotated {'with nothing' if hint is REQUIRED else shown(hint)}, but must be "
        "an asset, a list[…] or dict[str, …] of one type of asset or of such lists and dicts, or a plain value, as in "
        "(parts: list[sg.Asset], least: int); of a tuple of several, pass each: call[0], call[1]"
    )


def _names_any(hint: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether a type, or one of several, stands in a hint, at any depth."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return issubclass(hint, kind)
    return any(_names_any(part, kind) for part in typing.get_args(hint))


def _hints(body: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(body)
    except Exception as error:
        raise DefinitionError(
            f"task {body.__name__}: an annotation cannot be resolved ({error}); a task's annotations are used when it "
            "runs, so import what they name outside of `if TYPE_CHECKING:`"
        ) from error


def _refuse_first(task: str, first: inspect.Parameter, hint: Any) -> None:
    """Refuse a first parameter that is written for a value: the body would be given its work directory instead."""
    if hint in (Any, object) or any(kind.__name__ == "Workdir" for kind in getattr(hint, "__mro__", ())):
        return
    raise DefinitionError(
        f"task {task}: the first parameter is the work directory, but {first.name} is annotated {shown(hint)}: "
        f"def {task}(work: sg.Workdir, …)"
    )


def _plain_parameter(parameter: inspect.Parameter, hint: Any) -> PlainParameter:
    return PlainParameter(parameter.name, shown(hint), check_for(hint), parameter.default)


def _asset_parameter(task: str, parameter: inspect.Parameter, hint: Any) -> AssetParameter:
    found = _as_asset(parameter, hint)
    if found is None:
        raise DefinitionError(
            f"task {task}: positional parameters are assets, but {parameter.name} is annotated "
            f"{'with nothing' if hint is None else shown(hint)}; "
            f"make plain values keyword-only: (…, *, {parameter.name}: …)"
        )
    return found


def _as_asset(parameter: inspect.Parameter, hint: Any, *, nested: bool = False) -> AssetParameter | None:
    """A parameter that takes an asset, a list or dict of them, or of lists and dicts; None where it is none."""
    inner, optional = _without_none(hint)
    shape, kind = _shape_of(inner)
    within, kind = _shape_of(kind) if nested else ("one", kind)
    if not (isinstance(kind, type) and not typing.get_args(kind) and issubclass(kind, Asset)):
        return None
    return AssetParameter(parameter.name, shape, kind, optional, parameter.default, within)


def _shape_of(hint: Any) -> tuple[Shape, Any]:
    """The shape of what a hint allows, and what one element of it is."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (list, dict):
        return "list" if origin is list else "dict", arguments[-1]
    return "one", hint


def _without_none(hint: Any) -> tuple[Any, bool]:
    if _is_union(hint):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        if len(members) == 1:
            return members[0], True
    return hint, False


def _returns(hint: Any) -> Returns:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    plain = _is_plain(hint)
    if isinstance(hint, type) and issubclass(hint, Asset):
        return Returns("one", (hint,))
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        members = typing.get_type_hints(hint)
        types = tuple(_asset_type(members.get(name)) for name in hint._fields)
        return Returns("tuple", types, hint, all(_is_plain(member) for member in members.values()))
    if origin is tuple and Ellipsis not in arguments:
        return Returns("tuple", tuple(map(_asset_type, arguments)), plain=plain)
    if origin in (list, tuple):
        return Returns("list", (_asset_type(arguments[0]),), plain=plain)
    if origin is dict:
        return Returns("dict", (_asset_type(arguments[-1]),), plain=plain)
    return Returns("plain", plain=True) if plain else Returns("unknown")


def _asset_type(hint: Any) -> type[Asset] | None:
    """The type of assets that a hint allows: of several, their common base."""
    inner, _ = _without_none(hint)
    if isinstance(inner, type) and not typing.get_args(inner):
        return inner if issubclass(inner, Asset) else None
    return Asset if any(_asset_type(member) for member in typing.get_args(inner) if _is_union(inner)) else None


def _is_plain(hint: Any) -> bool:
    """Whether a hint allows no asset."""
    if hint is REQUIRED or hint is Any or hint in (list, tuple, dict) or isinstance(hint, typing.TypeVar):
        return False
    if isinstance(hint, type) and not typing.get_args(hint):
        return not issubclass(hint, Asset) and not issubclass(Asset, hint)
    if typing.get_origin(hint) is typing.Literal:
        return True
    return all(_is_plain(part) for part in typing.get_args(hint) if part is not Ellipsis)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
