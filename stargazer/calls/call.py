"""A task bound to its inputs: lazy, and known by its key alone."""

from __future__ import annotations

import copy
import hashlib
import os
import threading
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dask.base import get_annotations
from dask.delayed import Delayed

from stargazer import config
from stargazer.calls.arguments import Returns, shown_value
from stargazer.calls.elements import element, place
from stargazer.calls.walk import CALLS, LAYER, check_no_call_lost, needs
from stargazer.errors import ArgumentError, StoresMixed
from stargazer.execute.spec import Wired
from stargazer.fingerprint import UncertainIdentity, class_code
from stargazer.ledger import Ledger
from stargazer.ledger.keys import Kept, Naming, call_key, input_key, is_simple, ordered, own_copy, paths_in, plain
from stargazer.store.context import WIRING, refuse_while_wiring
from stargazer.store.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

    from dask.highlevelgraph import HighLevelGraph

    from stargazer.execute import Needs, TaskSpec

__all__ = [
    "Call",
    "asked_by",
    "calls_in",
    "make_call",
    "make_element",
    "pack",
    "replaced",
    "unpack",
    "unpack_all",
    "wired_by",
]

if TYPE_CHECKING:
    from typing import Generic

    from typing_extensions import TypeVar

    R = TypeVar("R", default=Any)


class Call(Delayed):
    """A task bound to its inputs; made by calling a task, or by indexing another call.

    It is a `dask.delayed.Delayed`: ``dask.compute``, ``client.compute`` and ``dask.delayed`` take it.

    Attributes
    ----------
    name
        The task's name.
    plan_key
        Identity of the call: 64 hexadecimal digits. Of an element, its whole call's.
    inputs
        Assets and calls that the task was called with.
    given
        Its parameters, as they were when the call was made; those of the user's own types as
        `stargazer.ledger.keys.Kept`.
    parent, index
        Of an element: the whole call and the place in its result.
    """

    __slots__ = (
        "annotations", "given", "index", "inputs", "parent", "plan_key", "returns", "spec",
    )  # fmt: skip

    spec: TaskSpec
    plan_key: str
    returns: Returns
    inputs: dict[str, Any]
    given: dict[str, Any]
    annotations: dict[str, Any]
    parent: Call | None
    index: int | str | None

    def __init__(self) -> None:
        raise TypeError("calls are made by calling a task")

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.spec.name

    @property
    def label(self) -> str:
        """How it is named where it failed: its task, and the first digits of its key."""
        return f"{self.name} {self.plan_key[:8]}"

    @property
    def whole(self) -> Call:
        """The call that this is an element of, or the call itself."""
        return self if self.parent is None else self.parent

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters that the task was called with, complete with defaults; copies of them."""
        return {name: value if isinstance(value, Call) else own_copy(value) for name, value in self.given.items()}

    @property
    def store(self) -> Store:
        """The store that was active when the call was made."""
        return open_store(self.spec.store)

    @property
    def token(self) -> str:
        """How the call stands in the keys of calls that take it as input."""
        element = "" if self.parent is None else f"#{self.index}"
        return f"call:{self.plan_key}{element}"

    @property
    def dask(self) -> HighLevelGraph:
        """The graph, as Dask's schedulers want it; what the ledger knows is cut away when they ask for it."""
        from stargazer.calls.graph import graph_of

        return graph_of(self)

    def __dask_layers__(self) -> tuple[str, ...]:
        return (LAYER,)

    def known(self) -> tuple[Any] | None:
        """The result in a tuple, if the ledger has it; one look-up, nothing runs. None where it is to run again."""
        if self.spec.renewal:
            return None
        ledger = Ledger(self.store.records)
        record = ledger.find(self.plan_key)
        if record is None:
            return None
        whole = ledger.results(record, self.whole.returns.named)
        return (whole if self.parent is None else element(whole, self.index, self.label),)

    def compute(self, *, again: Any = None, **kwargs: Any) -> Any:
        """Return the result: from the ledger, or by running what is missing.

        Parameters
        ----------
        again
            What runs once more, whatever is known: True for all that it needs, tasks, calls, or names of tasks.
        **kwargs
            For `dask.compute`, as ``scheduler="threads"``.

        Raises
        ------
        BlobLost
            Bytes are gone that no call can make again.
        Exception
            Whatever a task raises.
        """
        if WIRING.get():
            refuse_while_wiring(f"computes {self!r}")
        if again is not None:
            from stargazer.calls.renewed import renewed

            return renewed([self], again)[self.key].compute(**kwargs)
        if (result := self.known()) is not None:
            return result[0]
        # A process in which all is known needs nothing of what runs calls.
        from stargazer.calls.computed import computed

        return computed(self, **kwargs)

    def replace(
        self,
        spec: TaskSpec,
        *,
        inputs: dict[str, Any] | None = None,
        given: dict[str, Any] | None = None,
        parent: Call | None = None,
    ) -> Call:
        """Return the call of the same key under another spec, with other inputs, or as element of another call."""
        return _intern(
            spec, self.plan_key, self.returns, inputs or {}, given or {}, self.annotations, parent, self.index
        )

    def set_needs(self, needs: Needs) -> None:
        """Let the call have other needs than its task declares: they are in no key."""
        object.__setattr__(self, "spec", self.spec.with_changes(needs=needs))

    def set_annotations(self, **annotations: Any) -> None:
        """Give the call annotations of Dask, such as a priority, beside those that it was made with: in no key."""
        object.__setattr__(self, "annotations", {**self.annotations, **annotations})

    def visualize(self, *args: Any, **kwargs: Any) -> Any:
        """Draw the part of the graph that would run, with graphviz; see `dask.visualize`."""
        from stargazer.calls.graph import flat_delayed

        return flat_delayed(self).visualize(*args, **kwargs)

    def __getitem__(self, index: int | str) -> Call:
        if self.parent is not None:
            raise TypeError(f"{self!r} is one result of {self.name}; what is inside it is known only when it ran")
        if self.returns.shape in ("one", "plain"):
            raise TypeError(f"{self.name} returns one result, which cannot be indexed")
        length = self.returns.length
        if length is not None:
            index = place(self.name, index, length)
        elif not isinstance(index, (int, str)) or isinstance(index, bool):
            raise TypeError(f"{self.name}[…] takes a number or a name, not {index!r}")
        types = self.returns.types
        kind = types[index] if length is not None and isinstance(index, int) else types[0] if types else None

        return make_element(self, index, Returns("one", (kind,)) if kind else Returns("unknown"))

    def __iter__(self) -> Iterator[Call]:
        if self.returns.length is None:
            raise TypeError(
                f"how many results {self.name} has is known only when it ran: pass it whole to a list[…] parameter, "
                "or compute it first"
            )
        return (self[index] for index in range(self.returns.length))

    def __len__(self) -> int:
        if self.returns.length is None:
            raise TypeError(f"how many results {self.name} has is known only when it ran")
        return self.returns.length

    def __getattr__(self, name: str) -> Any:
        fields = getattr(object.__getattribute__(self, "returns").named, "_fields", ())
        if name in fields:
            return self[fields.index(name)]
        raise AttributeError(f"{name!r}: {self!r} has not run; its result has attributes, the call has not")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise TypeError("calls are immutable")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: `Delayed` would make another Delayed."""
        raise TypeError(f"{self!r} is a call already; call the task to make another")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and other.key == self.key

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.key)

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} has not run: whether its result is true is not known yet; compute it, then ask")

    def __contains__(self, item: object) -> NoReturn:
        raise TypeError(f"{self!r} has not run: what its result contains is not known yet; compute it, then ask")

    def __repr__(self) -> str:
        element = "" if self.parent is None else f"[{self.index!r}]"
        return f"<call {self.name}{element} {self.plan_key[:8]}>"

    def _repr_html_(self) -> str:
        from stargazer.display import call_html

        return call_html(self)

    def __reduce__(self) -> Any:
        return unpack, (self.key, pack([self]))


if TYPE_CHECKING:

    class Pending(Call, Any, Generic[R]):  # type: ignore[misc]
        """A call as checkers see it: it may stand wherever its result is wanted."""

        def compute(self, *, again: Any = None, **kwargs: Any) -> R: ...
        def __getitem__(self, index: int | str) -> Any: ...


# Calls are made here: keyed, and one object for equal ones.


_MAKING = threading.Lock()


def make_call(spec: TaskSpec, returns: Returns, inputs: dict[str, Any], parameters: dict[str, Any]) -> Call:
    """Return the call of a task with checked inputs and parameters."""
    keys = {name: _input_keys(spec, value) for name, value in inputs.items()} if inputs else inputs
    given, values = {}, {}
    for name, value in parameters.items():
        given[name], values[name] = _given(spec, name, value)
    plan_key = call_key(spec.key, values, keys)
    return _intern(spec, plan_key, returns, inputs, given, get_annotations(), None, None)


def make_element(parent: Call, index: int | str, returns: Returns) -> Call:
    """Return one element of a call's result, as a call."""
    return _intern(parent.spec, parent.plan_key, returns, {}, {}, parent.annotations, parent, index)


def _intern(
    spec: TaskSpec,
    plan_key: str,
    returns: Returns,
    inputs: dict[str, Any],
    given: dict[str, Any],
    annotations: dict[str, Any],
    parent: Call | None,
    index: int | str | None,
) -> Call:
    """Return the live call of this identity, or make it."""
    place = "" if parent is None else f"#{index!r}"
    key = f"{spec.name}-{hashlib.sha256(f'{plan_key}{place} {spec.store_id}{spec.renewal}'.encode()).hexdigest()}"
    write = object.__setattr__
    with _MAKING:
        call = CALLS.get(key)
        if call is None:
            call = object.__new__(Call)
            write(call, "_key", key)
            write(call, "_layer", key)
            write(call, "plan_key", plan_key)
            write(call, "inputs", inputs)
            write(call, "given", given)
            write(call, "parent", parent)
            write(call, "index", index)
            write(call, "annotations", annotations)
            CALLS[key] = call
        # What is in no key counts as the task is defined now, and as the call was last annotated.
        write(call, "spec", spec)
        write(call, "returns", returns)
        write(call, "_length", returns.length)
        if annotations:
            write(call, "annotations", annotations)
    return call


def _input_keys(spec: TaskSpec, value: Any) -> Any:
    if isinstance(value, list):
        return [_input_keys(spec, item) for item in value]
    if isinstance(value, dict):
        return ordered({name: _input_keys(spec, item) for name, item in value.items()})
    return None if value is None else _one_key(spec, value)


def _one_key(spec: TaskSpec, value: Any) -> str:
    if isinstance(value, Call):
        if value.spec.store != spec.store:
            raise _mixed(spec, value.name, value.spec.store)
        return value.token
    if value.source is not None and value.source.url != spec.store:
        raise _mixed(spec, repr(value), value.source.url)
    if value.asset_key in spec.kinds:
        _refuse_old_class(spec, value)
    return input_key(value, spec.kinds)


def _refuse_old_class(spec: TaskSpec, asset: Any) -> None:
    """A body would run the methods of the class that an asset was made with, though there is a newer one."""
    code = class_code(type(asset), spec.task.module)
    if code != spec.kinds[asset.asset_key]:
        raise ArgumentError(
            f"{spec.name}: the class of {asset!r} was defined anew since; take the asset from the store again"
        )


def _mixed(spec: TaskSpec, what: str, store: str) -> StoresMixed:
    return StoresMixed(
        f"{spec.name} is called in the store {spec.store}, but {what} belongs to {store}; "
        "make both in one `with sg.Store(…):`, or add the file to this store"
    )


def _given(spec: TaskSpec, name: str, value: Any) -> tuple[Any, Any]:
    """Return a parameter as it is now, whatever becomes of the object later, and how it stands in the call's key."""
    if isinstance(value, Call):
        return value, {"call": value.token}
    try:
        if is_simple(value):
            kept = own_copy(value)
            return kept, plain(kept)
        naming = Naming(spec.task.module, Store.open(spec.store).context.profile)
        _warn_of_paths(spec.name, name, value)
        told = Kept(copy.deepcopy(value), plain(value, naming), naming.owner)
        return told, told.text
    except (TypeError, RecursionError, copy.Error) as error:
        why = "it holds itself" if isinstance(error, RecursionError) else str(error)
        raise ArgumentError(
            f"{spec.name}: {name}={shown_value(value)} cannot be part of a key: {why}. Pass numbers, strings, "
            "booleans, enums, None, dataclasses, dates, paths, lists and dicts of these, or small arrays and data "
            "frames; pass files as assets, by position"
        ) from None


def _warn_of_paths(task: str, name: str, value: Any) -> None:
    """A path counts by its text: what stands in the file may change unnoticed."""
    for path in paths_in(value):
        if path.exists():
            remedy = f"pass it as an asset: sg.add({str(path)!r})"
            told = f"{task}: {name} names {path}, whose content is in no key; {remedy}"
            if config.strict():
                raise ArgumentError(told)
            warnings.warn(told, UncertainIdentity, stacklevel=6)


# Which code wires a call, and for whom: its function names runs, and its commit stands in their records.


PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"

_principal: ContextVar[str] = ContextVar("stargazer_principal", default="")


def wired_by(frame: FrameType | None) -> Wired:
    """Return the code that a frame belongs to."""
    principal = _principal.get()
    if frame is None:
        return Wired(principal=principal)
    code = frame.f_code
    name, path = code.co_qualname, code.co_filename
    while path.startswith(PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
        path = frame.f_code.co_filename
        name = frame.f_code.co_qualname if name.startswith("<") else name
    return Wired(name, path, principal)


@contextmanager
def asked_by(principal: str) -> Iterator[None]:
    """Let the records of calls that are wired in here say who asked a service for them."""
    token = _principal.set(principal)
    try:
        yield
    finally:
        _principal.reset(token)


# Calls as rows, to be pickled: chains may be deeper than the interpreter's stack.


def pack(roots: Iterable[Call]) -> list[tuple[Any, ...]]:
    """Return calls and all that they need as flat rows."""
    rows, todo = {}, [*roots]
    while todo:
        call = todo.pop()
        if call.key in rows:
            continue
        inputs = {name: _packed(value) for name, value in call.inputs.items()}
        parameters = {name: _packed(value) for name, value in call.given.items()}
        parent = None if call.parent is None else call.parent.key
        rows[call.key] = (
            call.spec,
            call.plan_key,
            call.returns,
            inputs,
            parameters,
            call.annotations,
            parent,
            call.index,
        )
        todo += [*needs(call), *([call.parent] if call.parent is not None else [])]
    return list(rows.items())


def unpack(root: str, rows: list[tuple[Any, ...]]) -> Call:
    """Return the one call that `pack` was given."""
    return unpack_all([root], rows)[root]


def unpack_all(roots: Iterable[str], rows: list[tuple[Any, ...]]) -> dict[str, Call]:
    """Return the calls that `pack` was given, and those that they need, by their keys."""
    packed, todo = dict(rows), [*roots]
    made: dict[str, Call] = {}
    while todo:
        key = todo[-1]
        if key in made:
            todo.pop()
            continue
        spec, plan_key, returns, inputs, parameters, annotations, parent, index = packed[key]
        wanted = {
            *_keys_in(inputs.values()),
            *_keys_in(parameters.values()),
            *([parent] if parent else []),
        } - made.keys()
        if wanted:
            todo += wanted
            continue
        todo.pop()
        inputs, parameters = (
            {name: _unpacked(value, made) for name, value in each.items()} for each in (inputs, parameters)
        )
        made[key] = _intern(spec, plan_key, returns, inputs, parameters, annotations, made.get(parent), index)
    return made


class _CallKey(str):
    """Stands for a call in packed rows."""

    __slots__ = ()


def _packed(value: Any) -> Any:
    if isinstance(value, Call):
        return _CallKey(value.key)
    if isinstance(value, list):
        return [_packed(item) for item in value]
    return {name: _packed(item) for name, item in value.items()} if type(value) is dict else value


def _unpacked(value: Any, made: dict[str, Call]) -> Any:
    if isinstance(value, _CallKey):
        return made[value]
    if isinstance(value, list):
        return [_unpacked(item, made) for item in value]
    return {name: _unpacked(item, made) for name, item in value.items()} if type(value) is dict else value


def _keys_in(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, _CallKey):
            yield value
        elif isinstance(value, list) or type(value) is dict:
            yield from _keys_in(value if isinstance(value, list) else value.values())


# Calls in lists, tuples and dicts, and results in their places.


def calls_in(what: Any) -> list[Call]:
    """Return every call in `what`; refuse what was probably meant to be one.

    Raises
    ------
    ArgumentError
        Something else stands where a call should; or a list holds itself.
    """
    try:
        return list(_calls_in(what))
    except RecursionError:
        raise ArgumentError("a list of calls holds itself, or is nested too deeply") from None


def _calls_in(what: Any) -> Iterator[Call]:
    if isinstance(what, Call):
        yield what
    elif isinstance(what, (list, tuple)):
        for item in what:
            yield from _calls_in(item)
    elif isinstance(what, dict):
        for item in what.values():
            yield from _calls_in(item)
    else:
        check_no_call_lost(what)


def replaced(what: Any, result: Callable[[Call], Any]) -> Any:
    """Return `what` with each call replaced by its result."""
    if isinstance(what, Call):
        return result(what)
    if isinstance(what, (list, tuple)):
        items = [replaced(item, result) for item in what]
        return items if isinstance(what, list) else tuple(items)
    return {key: replaced(item, result) for key, item in what.items()} if isinstance(what, dict) else what
