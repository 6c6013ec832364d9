"""Fit what a call is given, and what its body returns, to the signature: now, not on a worker an hour later."""

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
from typing import TYPE_CHECKING, Any, NamedTuple

from stargazer.assets import Asset
from stargazer.errors import ArgumentError, AssetError, NotFound, OutputError
from stargazer.ledger.keys import EXACT, Kept, Naming, is_memo, members_of, plain, python_value
from stargazer.store import active_store
from stargazer.store.context import refuse_while_wiring

if TYPE_CHECKING:
    from stargazer.calls.signature import AssetParameter, PlainParameter, Signature

__all__ = ["REQUIRED", "Check", "Returns", "Unfit", "bind", "check_for", "checked_result", "shown", "shown_value"]

LONGEST_SHOWN = 500

REQUIRED = inspect.Parameter.empty

Check = Callable[[Any], Any]
"""Returns the value, perhaps converted (an int where a float is wanted); raises TypeError."""


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


def bind(
    task: str, signature: Signature, call_type: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return inputs and parameters by name, checked and complete with defaults.

    Parameters
    ----------
    task
        Its name, for messages.
    signature
        What it takes.
    call_type
        Type of calls, which stand for assets that are not made yet; ``()`` where all are made.
    args, kwargs
        As given by the user, without the work directory.

    Raises
    ------
    ArgumentError
        Says which parameter, what was given, and what is wanted.
    """
    if len(args) > len(signature.assets):
        raise ArgumentError(
            f"{task} takes {len(signature.assets)} positional arguments ({_names(signature)}), but {len(args)} were "
            "given; plain values are passed by keyword"
        )
    given = kwargs
    if args:
        given = dict(zip((parameter.name for parameter in signature.assets), args, strict=False))
        for name in given.keys() & kwargs.keys():
            raise ArgumentError(f"{task}: {name} is given twice, by position and by name")
        given |= kwargs
    inputs: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    try:
        for asset in signature.assets:
            inputs[asset.name] = _input(task, asset, given.get(asset.name, asset.default), call_type)
        for plain in signature.plains:
            parameters[plain.name] = _parameter(task, plain, given.get(plain.name, plain.default), call_type)
    except ArgumentError:
        # A misspelt name is better news than that what it was meant for is missing.
        _refuse_unknown(task, signature, kwargs)
        raise
    if not all(name in inputs or name in parameters for name in given):
        _refuse_unknown(task, signature, given)
    return inputs, parameters


def _refuse_unknown(task: str, signature: Signature, given: dict[str, Any]) -> None:
    known = {asset.name for asset in signature.assets} | {plain.name for plain in signature.plains}
    for name in sorted(given.keys() - known):
        raise ArgumentError(f"{task} has no parameter {name!r}; it has {_names(signature)}")


def _names(signature: Signature) -> str:
    names = [asset.name for asset in signature.assets] + [plain.name for plain in signature.plains]
    return ", ".join(names) or "none"


def _input(task: str, parameter: AssetParameter, value: Any, call_type: Any) -> Any:
    if value is REQUIRED:
        raise ArgumentError(f"{task} needs {parameter.name} ({parameter})")
    if value is None and (parameter.optional or parameter.default is None):
        return None
    return _assets(task, parameter, parameter.name, value, call_type)


def _assets(task: str, parameter: AssetParameter, place: str, value: Any, call_type: Any) -> Any:
    """An asset, or a list or dict of what belongs there; or a call of such."""
    shape = parameter.shape
    if isinstance(value, call_type):
        return _fitting_call(task, parameter, place, value)
    if shape == "one":
        return _asset(task, parameter, place, value)
    if shape == "list" and isinstance(value, (list, tuple)):
        items = parameter.items
        return [_assets(task, items, f"{place}[{number}]", item, call_type) for number, item in enumerate(value)]
    if shape == "dict" and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        items = parameter.items
        return {key: _assets(task, items, f"{place}[{key!r}]", item, call_type) for key, item in value.items()}
    raise ArgumentError(f"{task}: {place} must be {parameter}, not {type(value).__name__}")


def _asset(task: str, parameter: AssetParameter, place: str, value: Any) -> Any:
    if isinstance(value, str):
        value = _named(task, place, value)
    if not isinstance(value, Asset):
        wanted = parameter.type.__name__
        raise ArgumentError(f"{task}: {place} must be {wanted}, not {type(value).__name__}{_hint(value, wanted)}")
    if not isinstance(value, parameter.type):
        raise ArgumentError(f"{task}: {place} must be {parameter.type.__name__}, but is {value!r}")
    if value.cid is None:
        raise ArgumentError(f"{task}: {place} is {value!r}, which is not in the store yet; sg.add it first")
    return value


def _named(task: str, place: str, text: str) -> Asset | str:
    """What a text names in the active store, now; the handle remembers by which version of which name.

    A text that can name nothing comes back.
    """
    from stargazer.store.references import find_asset, is_reference

    if not is_reference(text):
        return text
    refuse_while_wiring(f"asks what {text!r} names")
    try:
        return find_asset(active_store(), text)
    except (NotFound, AssetError) as error:
        raise ArgumentError(f"{task}: {place}: {error}") from None


def _fitting_call(task: str, parameter: AssetParameter, place: str, call: Any) -> Any:
    returns = call.returns
    if returns.plain or returns.shape not in (parameter.shape, "unknown"):
        choice = _choice(returns, parameter.shape)
        raise ArgumentError(f"{task}: {place} must be {parameter}, but {call.name} returns {_result(returns)}{choice}")
    found = returns.types[0] if returns.types else None
    if found is not None and parameter.within != "one":
        raise ArgumentError(
            f"{task}: {place} must be {parameter}, but {call.name} returns {_result(returns)} of {found.__name__}"
        )
    if found is not None and not (issubclass(found, parameter.type) or issubclass(parameter.type, found)):
        raise ArgumentError(
            f"{task}: {place} must be {parameter.type.__name__}, but {call.name} makes {found.__name__}"
        )
    return call


def _choice(returns: Any, wanted: str) -> str:
    if returns.plain or returns.shape not in ("tuple", "list", "dict"):
        return ""
    if returns.shape == "tuple" and wanted == "list":
        return "; pass its results, as in [*call]"
    return "; choose one of its results, as in call[0]" if wanted == "one" else ""


def _result(returns: Any) -> str:
    return "a plain value" if returns.plain else "an asset" if returns.shape == "one" else f"a {returns.shape}"


def _hint(value: Any, wanted: str) -> str:
    if _is_path(value):
        return f"; add a file first: sg.add(path, sg.{wanted}(…))"
    if hasattr(type(value), "check_code"):
        return "; call the task, and pass what that gives"
    return "; compute it first, and pass what that gives" if hasattr(type(value), "__dask_graph__") else ""


def _is_path(value: Any) -> bool:
    return isinstance(value, str) or hasattr(type(value), "__fspath__")


def _parameter(task: str, parameter: PlainParameter, value: Any, call_type: Any) -> Any:
    name = parameter.name
    if type(value) in NO_CALL:
        return _checked(task, parameter, value)
    if value is REQUIRED:
        raise ArgumentError(f"{task} needs {name}=… ({parameter.annotation})")
    if isinstance(value, call_type):
        if not value.returns.plain and value.returns.shape != "unknown":
            raise ArgumentError(f"{task}: {name} is a plain value, but {value!r} makes files; pass it by position")
        return value
    if isinstance(value, Asset):
        raise ArgumentError(f"{task}: {name} is a plain value, but got {value!r}; assets are positional")
    if type(value) is Kept:
        return value  # checked where the call was made
    return _checked(task, parameter, value)


NO_CALL = frozenset((str, int, float, bool, type(None)))
"""Types of most parameters: of these it needs no asking what else the value may be."""


def _checked(task: str, parameter: PlainParameter, value: Any) -> Any:
    name = parameter.name
    try:
        return parameter.check(value)
    except Unfit as error:
        detail = "" if str(error) == parameter.annotation else f" ({error} expected)"
        detail += "; pass files as assets, by position" if hasattr(type(value), "__fspath__") else ""
    except TypeError as error:
        detail = f": {error}" + ("; pass files as assets, by position" if _is_path(value) else "")
    except RecursionError:
        detail = ": it holds itself, or is nested too deeply"
    raise ArgumentError(f"{task}: {name} must be {parameter.annotation}, but is {shown_value(value)}{detail}")


def shown_value(value: Any) -> str:
    """Return a value as people write it, whatever it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits
        return f"{'an' if type(value) is int else 'a'} {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


# Does a plain value fit its annotation? Compiled once a parameter, asked at every call.


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
    return {field.name: check_for(_field_type(cls, field.name, field.type)) for field in fields(cls)}


def _field_type(cls: type, name: str, written: Any) -> Any:
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


# Whether what a body returned is what its task declares.


def checked_result(task: str, signature: Signature, made: Any) -> Any:
    """Return the result of a body, of the declared shape and types.

    Parameters
    ----------
    task
        Its name, for messages.
    signature
        What it declares; without an annotation, anything passes.
    made
        What the body returned: a tuple becomes the declared ``NamedTuple``, a NumPy scalar a number.

    Raises
    ------
    OutputError
        It is something else.
    """
    returns = signature.returns
    if returns.shape == "unknown":
        return made
    if returns.plain:
        return _plain_result(task, signature, made)
    if returns.shape == "one":
        return _result_asset(task, "its result", returns.types[0], made)
    if returns.shape == "dict":
        _must_be(task, made, dict, "a dict")
        return {name: _result_asset(task, f"[{name!r}]", returns.types[0], each) for name, each in made.items()}
    _must_be(task, made, (list, tuple), f"a {returns.shape}")
    if returns.length is not None and len(made) != returns.length:
        raise OutputError(f"{task} is declared to return {returns.length} results, but returned {len(made)}")
    types = returns.types if returns.length is not None else returns.types * len(made)
    items = [
        _result_asset(task, f"[{place}]", kind, each)
        for place, (kind, each) in enumerate(zip(types, made, strict=True))
    ]
    if returns.named is not None:
        return returns.named(*items)
    return items if isinstance(made, list) and returns.shape == "list" else tuple(items)


def _plain_result(task: str, signature: Signature, made: Any) -> Any:
    returns = signature.returns
    try:
        checked = signature.check(made) if returns.named is None else made
    except RecursionError:
        raise OutputError(f"{task} returned a value that holds itself, or is nested too deeply") from None
    except TypeError as error:
        raise OutputError(
            f"{task} returned {shown_value(made)}, but is declared to return something else: {error}"
        ) from None
    if returns.named is not None and not isinstance(made, returns.named):
        _must_be(task, made, tuple, f"a {returns.named.__name__}")
        return returns.named(*made)
    return checked


def _result_asset(task: str, place: str, kind: type[Asset] | None, made: Any) -> Any:
    if kind is None or isinstance(made, kind) or (made is None and place != "its result"):
        return made
    hint = "; is a return missing?" if made is None else ""
    raise OutputError(f"{task}: {place} is declared to be {kind.__name__}, but is {made!r}{hint}")


def _must_be(task: str, made: Any, kind: Any, wanted: str) -> None:
    if not isinstance(made, kind):
        hint = "; is a return missing?" if made is None else ""
        raise OutputError(f"{task} is declared to return {wanted}, but returned {type(made).__name__}{hint}")
