"""Calls are made here: keyed, and one object for equal ones."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from dask.base import get_annotations

from stargazer.calls.call import Call
from stargazer.errors import ArgumentError, StoresMixed
from stargazer.ledger.keys import call_key, input_key, ordered, plain

if TYPE_CHECKING:
    from dask.typing import Key

    from stargazer.calls.signature import Returns
    from stargazer.execute import Order

__all__ = ["CALLS", "intern", "make_call", "make_element"]

CALLS: WeakValueDictionary[Key, Call] = WeakValueDictionary()
"""Every live call of this process by its Dask key: equal calls are one object."""

_MAKING = threading.Lock()


def make_call(order: Order, returns: Returns, inputs: dict[str, Any], parameters: dict[str, Any]) -> Call:
    """Return the call of a task with checked inputs and parameters."""
    keys = {name: _input_keys(order, value) for name, value in inputs.items()}
    values = {
        name: {"call": v.token} if isinstance(v, Call) else _plain(order, name, v) for name, v in parameters.items()
    }
    plan_key = call_key(order.key, values, keys)
    return intern(order, plan_key, returns, inputs, parameters, get_annotations(), None, None)


def make_element(parent: Call, index: int | str, returns: Returns) -> Call:
    """Return one element of a call's result, as a call."""
    return intern(parent.order, parent.plan_key, returns, {}, {}, parent.annotations, parent, index)


def intern(
    order: Order,
    plan_key: str,
    returns: Returns,
    inputs: dict[str, Any],
    parameters: dict[str, Any],
    annotations: dict[str, Any],
    parent: Call | None,
    index: int | str | None,
) -> Call:
    """Return the live call of this identity, or make it."""
    place = "" if parent is None else f"#{index!r}"
    key = f"{order.task.name}-{hashlib.sha256(f'{plan_key}{place} {order.store_id}'.encode()).hexdigest()}"
    write = object.__setattr__
    with _MAKING:
        call = CALLS.get(key)
        if call is None:
            call = object.__new__(Call)
            for name, value in (
                ("_key", key),
                ("_layer", key),
                ("plan_key", plan_key),
                ("inputs", inputs),
                ("parameters", parameters),
                ("parent", parent),
                ("index", index),
                ("annotations", annotations),
            ):
                write(call, name, value)
            CALLS[key] = call
        # What is in no key counts as the task is defined now, and as the call was last annotated.
        write(call, "order", order)
        write(call, "returns", returns)
        write(call, "_length", returns.length)
        if annotations:
            write(call, "annotations", annotations)
    return call


def _input_keys(order: Order, value: Any) -> Any:
    if isinstance(value, list):
        return [_one_key(order, item) for item in value]
    if isinstance(value, dict):
        return ordered({name: _one_key(order, item) for name, item in value.items()})
    return None if value is None else _one_key(order, value)


def _one_key(order: Order, value: Any) -> str:
    if isinstance(value, Call):
        if value.order.store != order.store:
            raise _mixed(order, value.name, value.order.store)
        return value.token
    if value.source is not None and value.source.url != order.store:
        raise _mixed(order, repr(value), value.source.url)
    return input_key(value)


def _mixed(order: Order, what: str, store: str) -> StoresMixed:
    return StoresMixed(
        f"{order.task.name} is called in the store {order.store}, but {what} belongs to {store}; "
        "make both in one `with sg.Store(…):`, or add the file to this store"
    )


def _plain(order: Order, name: str, value: Any) -> Any:
    try:
        return plain(value)
    except TypeError as error:
        raise ArgumentError(
            f"{order.task.name}: {name}={value!r} cannot be part of a key: {error}. Pass numbers, strings, booleans, "
            "enums, None, dataclasses, lists and dicts of these; pass files as assets, by position"
        ) from None
