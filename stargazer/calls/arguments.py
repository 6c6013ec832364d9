"""Fit the arguments of a call to the signature of its task: now, not on a worker an hour later."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from stargazer.assets import Asset
from stargazer.calls.signature import REQUIRED, Unfit
from stargazer.errors import ArgumentError, AssetError, DefinitionError, NotFound, OutputError
from stargazer.execute.spec import Needs
from stargazer.ledger.parameters import Kept
from stargazer.store import active_store
from stargazer.store.context import refuse_while_wiring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stargazer.calls.signature import AssetParameter, PlainParameter, Signature

__all__ = [
    "Options",
    "bind",
    "check_functions",
    "check_names",
    "check_no_call_lost",
    "check_options",
    "checked_result",
    "chosen_tools",
    "given_needs",
    "read_needs",
    "shown_value",
]

LONGEST_SHOWN = 500


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


# Options of a task, checked when it is defined.


VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NEVER = ("LC_ALL", "TZ", "PYTHONHASHSEED", "TMPDIR")
"""Fixed for every tool, so that results do not depend on them."""


class Options(TypedDict, total=False):
    """What `stargazer.calls.Task` takes beside the body."""

    cpus: int | Callable[..., int]
    memory: str | int | Sequence[str | int] | Callable[..., str | float] | None
    gpus: int | Callable[..., int]
    walltime: str | float | Callable[..., str | float] | None
    worker: str | None
    retries: int
    tools: Sequence[str] | Callable[..., Sequence[str]]
    uses: Sequence[str] | None
    env: Sequence[str]
    version: str | None
    stage: Literal["link", "copy"]
    temp: bool
    container: str | None
    conda: str | None


def read_needs(task: str, cpus: Any, memory: Any, gpus: Any, walltime: Any, worker: Any, retries: Any = 0) -> Needs:
    """Return what a task declares to need, checked.

    Raises
    ------
    DefinitionError
        Some of it is no amount.
    """
    asked = {"cpus": cpus, "memory": memory, "gpus": gpus, "walltime": walltime}
    functions = tuple((option, value) for option, value in asked.items() if callable(value))
    for option, function in functions:
        _check_function(task, option, function)
    cpus, memory, gpus, walltime = (
        none if callable(value) else value for value, none in zip(asked.values(), (1, None, 0, None), strict=True)
    )
    for option, value, least in (("cpus", cpus, 1), ("gpus", gpus, 0), ("retries", retries, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise DefinitionError(f"task {task}: {option}={value!r} must be a whole number from {least}")
    if worker is not None and not (isinstance(worker, str) and worker):
        raise DefinitionError(f"task {task}: worker={worker!r} must be the name of workers")
    sizes = [] if memory is None else memory if isinstance(memory, (list, tuple)) else [memory]
    read = tuple(_bytes(task, size) for size in sizes)
    return Needs(cpus, read, gpus, _seconds(task, walltime), worker, retries, functions, 1, not functions)


def given_needs(task: str, needs: Needs, values: Mapping[str, Any]) -> Needs:
    """Return what a call needs, whose functions are asked now that its inputs are there.

    Parameters
    ----------
    task
        Its name.
    needs
        As the task declares them.
    values
        Inputs and parameters of the call by name; inputs are handles, which have ``size`` and facts.

    Raises
    ------
    DefinitionError
        A function returned no amount.
    Exception
        Whatever a function raises.
    """
    plain = {name: value.open() if type(value) is Kept else value for name, value in values.items()}
    known, found = {**plain, "attempt": needs.attempt}, {}
    for option, function in needs.functions:
        found[option] = function(**{name: known[name] for name in inspect.signature(function).parameters})
    if isinstance(found.get("memory"), float):
        found["memory"] = int(found["memory"])
    none = {"cpus": 1, "memory": None, "gpus": 0, "walltime": None}
    read = read_needs(task, **none | found, worker=needs.worker)
    given = {option: getattr(read, option) for option in found}
    return needs._replace(**given, are_given=True)


def _check_function(task: str, option: str, function: Callable[..., Any]) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY}:
        raise DefinitionError(
            f"task {task}: {option}= is a function, and takes inputs and parameters of the task by their names, "
            "and `attempt`: write for instance memory=lambda reads: 3 * reads.size"
        )


def check_functions(task: str, needs: Needs, names: Iterable[str]) -> None:
    """Refuse functions of needs that ask for what the task does not take.

    Raises
    ------
    DefinitionError
        Names what there is.
    """
    known = [*names, "attempt"]
    for option, function in needs.functions:
        for name in inspect.signature(function).parameters:
            if name not in known:
                raise DefinitionError(f"task {task}: {option}= asks for {name!r}, but there are {', '.join(known)}")


def _bytes(task: str, memory: Any) -> int:
    from stargazer.profiles.settings import bytes_of

    try:
        return bytes_of(memory)
    except ValueError:
        raise DefinitionError(f"task {task}: memory={memory!r} is no size; write for instance '8 GiB'") from None


def _seconds(task: str, walltime: Any) -> float | None:
    if walltime is None:
        return None
    from stargazer.profiles.settings import seconds_of

    try:
        return seconds_of(walltime)
    except ValueError:
        raise DefinitionError(f"task {task}: walltime={walltime!r} is no time; write for instance '2 h'") from None


def check_names(options: Iterable[str]) -> None:
    """Refuse options that there are not.

    Raises
    ------
    DefinitionError
        Names the one that was probably meant.
    """
    known = list(Options.__annotations__)
    for name in options:
        if name not in known:
            import difflib

            close = difflib.get_close_matches(name, known, 1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise DefinitionError(f"@sg.task has no option {name!r}; {meant}there are {', '.join(known)}")


def check_options(task: str, tools: Any, uses: Any, stage: Any, env: Any = (), temp: Any = False) -> None:
    """Refuse options that no task can have."""
    for option, value in (("tools", tools), ("uses", uses), ("env", env)):
        if isinstance(value, str):
            raise DefinitionError(f"task {task}: {option}={value!r} must be a list: {option}=[{value!r}]")
    for name in env:
        if not isinstance(name, str) or not VARIABLE.fullmatch(name):
            raise DefinitionError(f"task {task}: env={list(env)!r} must be a list of names of environment variables")
        if name in NEVER:
            raise DefinitionError(f"task {task}: env={name!r} would be set for every tool alike; it cannot be passed")
    if stage not in ("link", "copy"):
        raise DefinitionError(f"task {task}: stage={stage!r} must be 'link' or 'copy'")
    if not isinstance(temp, bool):
        raise DefinitionError(f"task {task}: temp={temp!r} must be True or False")


def chosen_tools(tools: Sequence[str] | Callable[..., Sequence[str]], parameters: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of the tools that a call runs; a function chooses them from those parameters that it names."""
    if not callable(tools):
        return tools
    wanted = inspect.signature(tools).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in wanted.values())
    return tools(**{name: value for name, value in parameters.items() if anything or name in wanted})


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
        return _plain(task, signature, made)
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


def _plain(task: str, signature: Signature, made: Any) -> Any:
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


# What is given to be planned or run, and is no call.


def check_no_call_lost(value: Any) -> None:
    """Refuse what stands where a call should, and would be passed over in silence.

    Parameters
    ----------
    value
        Neither a call nor a list, tuple or dict. Stored assets and plain values are fine: they are results already.

    Raises
    ------
    ArgumentError
        A task that was not called, a function, a generator or set of calls, a collection of Dask's, a Dask client.
    """
    if why := _mistake(value):
        raise ArgumentError(why)


def _mistake(value: Any) -> str:
    kind = type(value)
    if hasattr(kind, "check_code"):
        return f"{value.name} is a task, not a call of it: write {value.name}(…)"
    if isinstance(value, (Iterator, AbstractSet)):
        return f"{kind.__name__} is no list of calls: write a list, as in [task(x) for x in …]"
    if hasattr(kind, "__dask_graph__"):
        return f"{value!r} is not a call of a task; dask.compute runs it, with the calls that it needs"
    if hasattr(value, "run_on_scheduler"):
        return "a Dask client is passed by keyword: client=…"
    if callable(value) and hasattr(value, "__name__"):
        return f"{value.__name__} is a function: call it, and pass the calls that it returns"
    return ""
