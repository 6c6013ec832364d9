"""Calls as rows, to be pickled: chains may be deeper than the interpreter's stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stargazer.calls.call import Call, intern
from stargazer.calls.graph import needs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["pack", "unpack"]


def pack(root: Call) -> list[tuple[Any, ...]]:
    """Return `root` and all that it needs as flat rows."""
    rows, todo = {}, [root]
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
    """Return the call that `pack` was given."""
    packed, todo = dict(rows), [root]
    made: dict[str, Call] = {}
    while todo:
        key = todo[-1]
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
        made[key] = intern(spec, plan_key, returns, inputs, parameters, annotations, made.get(parent), index)
    return made[root]


class CallKey(str):
    """Stands for a call in packed rows."""

    __slots__ = ()


def _packed(value: Any) -> Any:
    if isinstance(value, Call):
        return CallKey(value.key)
    if isinstance(value, list):
        return [_packed(item) for item in value]
    return {name: _packed(item) for name, item in value.items()} if type(value) is dict else value


def _unpacked(value: Any, made: dict[str, Call]) -> Any:
    if isinstance(value, CallKey):
        return made[value]
    if isinstance(value, list):
        return [_unpacked(item, made) for item in value]
    return {name: _unpacked(item, made) for name, item in value.items()} if type(value) is dict else value


def _keys_in(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        items = value if isinstance(value, list) else value.values() if type(value) is dict else (value,)
        yield from (item for item in items if isinstance(item, CallKey))
