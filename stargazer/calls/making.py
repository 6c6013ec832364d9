"""From checked arguments to a call: its plan key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask.base import get_annotations

from stargazer.calls.call import Call, intern
from stargazer.errors import ArgumentError, StoresMixed
from stargazer.ledger.keys import call_key, input_key, plain

if TYPE_CHECKING:
    from stargazer.calls.signature import Returns
    from stargazer.execute import Order

__all__ = ["make_call"]


def make_call(order: Order, returns: Returns, inputs: dict[str, Any], parameters: dict[str, Any]) -> Call:
    """Return the call of a task with checked inputs and parameters."""
    keys = {name: _input_keys(order, value) for name, value in inputs.items()}
    values = {
        name: {"call": v.token} if isinstance(v, Call) else _plain(order, name, v) for name, v in parameters.items()
    }
    plan_key = call_key(order.key, values, keys)
    return intern(order, plan_key, returns, inputs, parameters, get_annotations(), None, None)


def _input_keys(order: Order, value: Any) -> Any:
    if isinstance(value, list):
        return [_one_key(order, item) for item in value]
    if isinstance(value, dict):
        return {name: _one_key(order, item) for name, item in value.items()}
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
