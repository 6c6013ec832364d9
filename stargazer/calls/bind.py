"""Fit the arguments of a call to the signature of its task: now, not on a worker an hour later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.calls.checks import REQUIRED, Unfit
from stargazer.errors import ArgumentError

if TYPE_CHECKING:
    from stargazer.calls.signature import AssetParameter, PlainParameter, Signature

__all__ = ["bind"]


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
    given = dict(zip((parameter.name for parameter in signature.assets), args, strict=False))
    for name in given.keys() & kwargs.keys():
        raise ArgumentError(f"{task}: {name} is given twice, by position and by name")
    given |= kwargs
    try:
        inputs = {p.name: _input(task, p, given.pop(p.name, p.default), call_type) for p in signature.assets}
        parameters = {p.name: _parameter(task, p, given.pop(p.name, p.default), call_type) for p in signature.plains}
    except ArgumentError:
        # A misspelt name is better news than that what it was meant for is missing.
        _refuse_unknown(task, signature, kwargs)
        raise
    if given:
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
    if parameter.shape == "one" or isinstance(value, call_type):
        return _asset(task, parameter, parameter.name, value, call_type)
    if parameter.shape == "list" and isinstance(value, (list, tuple)):
        return [_asset(task, parameter, f"{parameter.name}[{i}]", item, call_type) for i, item in enumerate(value)]
    if parameter.shape == "dict" and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _asset(task, parameter, f"{parameter.name}[{key!r}]", v, call_type) for key, v in value.items()}
    raise ArgumentError(f"{task}: {parameter.name} must be {parameter}, not {type(value).__name__}")


def _asset(task: str, parameter: AssetParameter, place: str, value: Any, call_type: Any) -> Any:
    if isinstance(value, call_type):
        return _fitting_call(task, parameter, place, value)
    if not isinstance(value, Asset):
        wanted = parameter.type.__name__
        raise ArgumentError(f"{task}: {place} must be {wanted}, not {type(value).__name__}{_hint(value, wanted)}")
    if not isinstance(value, parameter.type):
        raise ArgumentError(f"{task}: {place} must be {parameter.type.__name__}, but is {value!r}")
    if value.cid is None:
        raise ArgumentError(f"{task}: {place} is {value!r}, which is not in the store yet; sg.add it first")
    return value


def _fitting_call(task: str, parameter: AssetParameter, place: str, call: Any) -> Any:
    returns = call.returns
    whole = parameter.shape if place == parameter.name else "one"
    wanted = str(parameter) if place == parameter.name else parameter.type.__name__
    if returns.plain or returns.shape not in (whole, "unknown"):
        raise ArgumentError(
            f"{task}: {place} must be {wanted}, but {call.name} returns {_result(returns)}{_choice(returns, whole)}"
        )
    found = returns.types[0] if returns.types else None
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
    if value is REQUIRED:
        raise ArgumentError(f"{task} needs {name}=… ({parameter.annotation})")
    if isinstance(value, call_type):
        if not value.returns.plain and value.returns.shape != "unknown":
            raise ArgumentError(f"{task}: {name} is a plain value, but {value!r} makes files; pass it by position")
        return value
    if isinstance(value, Asset):
        raise ArgumentError(f"{task}: {name} is a plain value, but got {value!r}; assets are positional")
    try:
        return parameter.check(value)
    except Unfit as error:
        detail = "" if str(error) == parameter.annotation else f" ({error} expected)"
    except TypeError as error:
        detail = f": {error}" + ("; pass files as assets, by position" if _is_path(value) else "")
    raise ArgumentError(f"{task}: {name} must be {parameter.annotation}, but is {value!r}{detail}")
