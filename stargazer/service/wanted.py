"""What is wanted: a transform with its inputs, bound to calls of a store; nothing runs here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset, placed
from stargazer.calls.call import asked_by, calls_in, replaced
from stargazer.calls.walk import walk
from stargazer.catalog.catalog import bind_entry, usage
from stargazer.catalog.composite import Either, Items
from stargazer.catalog.given import AssetKind, AssetList
from stargazer.errors import ArgumentError
from stargazer.ledger import Ledger, walk_assets
from stargazer.ledger.record import map_assets
from stargazer.service.transforms import SCAN, find_transform
from stargazer.tables import is_table_uri, scan

if TYPE_CHECKING:
    from stargazer.calls import Call
    from stargazer.catalog import Entry
    from stargazer.catalog.kinds import Kind
    from stargazer.store import Store

__all__ = ["Wanted", "bind", "check_inputs", "read_transform"]


@dataclass(frozen=True)
class Wanted:
    """What somebody asked for, as calls.

    Parameters
    ----------
    ref
        Name of the transform.
    wired
        Calls, and lists, tuples and dicts of them.
    store
        Where they run.
    request
        What was asked for, as JSON values: to ask again whether it is still what it would be.
    """

    ref: str
    wired: Any
    store: Store
    request: dict[str, Any]

    @property
    def calls(self) -> list[Call]:
        """The calls that give the result."""
        return calls_in(self.wired)

    @property
    def key(self) -> str:
        """Identity of what is wanted: the plan key of a call; of several, a digest of theirs and of their places."""
        if len(calls := self.calls) == 1 and calls[0].parent is None and calls[0] is self.wired:
            plan_key: str = calls[0].plan_key
            return plan_key
        placed_calls = replaced(self.wired, lambda call: f"call {call.token}")
        text = repr(map_assets(placed_calls, lambda asset: f"asset {asset.id}"))
        return hashlib.sha256(text.encode()).hexdigest()

    def note_origins(self) -> None:
        """Let the records of what runs say which calls made its inputs: a name alone does not tell.

        It is in no key, and asked only where something runs.
        """
        ledger = Ledger(self.store.records)
        for root in self.calls:
            for call in walk(root):
                for name, value in call.inputs.items():
                    call.inputs[name] = map_assets(value, lambda asset: _with_origin(ledger, asset))

    def known(self) -> tuple[Any] | None:
        """The result in a tuple, if the ledger has all of it; nothing runs."""
        results: dict[str, Any] = {}
        for call in self.calls:
            found = call.known()
            if found is None:
                return None
            results[str(call.key)] = found[0]
        return (replaced(self.wired, lambda call: results[str(call.key)]),)


def _with_origin(ledger: Ledger, asset: Asset) -> Asset:
    """A handle that knows the newest call that made it; one that knows its record already, or was added, as it is."""
    if asset.source is None or asset.source.record is not None:
        return asset
    for record in ledger.producers(asset.cid):
        if any(made.id == asset.id for made in walk_assets(ledger.results(record))):
            return placed(asset, asset.path, asset.source._replace(record=record.id), asset.companions)  # type: ignore[attr-defined]
    return asset


def read_transform(given: Mapping[str, Any] | str) -> tuple[str, dict[str, Any]]:
    """Return name and parameters of a transform as it was asked for.

    Raises
    ------
    ArgumentError
        It is no name, and no mapping with ``executor`` and ``params``.
    """
    members: Mapping[str, Any] = {"executor": given} if isinstance(given, str) else given
    if not isinstance(members, Mapping) or not isinstance(members.get("executor"), str):
        raise ArgumentError('transform: give {"executor": "scan@v1", "params": {…}}, or a name')
    params = members.get("params", {})
    if unknown := sorted(set(map(str, members)) - {"executor", "params"}):
        raise ArgumentError(f"transform has no {', '.join(unknown)}; it has executor and params")
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise ArgumentError("transform: params is an object of parameters by name")
    return members["executor"], dict(params)


def check_inputs(inputs: Sequence[Any]) -> Sequence[Any]:
    """Return inputs as they are, if they have an order.

    Raises
    ------
    ArgumentError
        They have none, or it is one input without its list.
    """
    if isinstance(inputs, (str, Asset)) or not isinstance(inputs, Sequence):
        raise ArgumentError("inputs is a list: by position, as the transform takes them")
    return inputs


def bind(
    inputs: Sequence[Any],
    transform: Mapping[str, Any] | str,
    store: Store,
    *,
    own_code: bool = True,
    asked: str = "",
) -> Wanted:
    """Bind a transform to its inputs.

    Parameters
    ----------
    inputs
        Stored assets, calls, what names assets, or URIs of tables; the first for the first parameter that takes assets.
    transform
        ``{"executor": name, "params": {…}}``, or the name alone.
    store
        Where the inputs are, and the result will be.
    own_code
        Whether ``module:task`` may name any module.
    asked
        Who asked a service for it.

    Raises
    ------
    ArgumentError
        What does not fit, all of it.
    UnknownName
        There is no such transform.
    """
    check_inputs(inputs)
    ref, params = read_transform(transform)
    request = {"inputs": [_as_asked(each) for each in inputs], "transform": {"executor": ref, "params": params}}
    with ExitStack() as stack:
        stack.enter_context(store)
        stack.enter_context(asked_by(asked))
        if ref == SCAN:
            return Wanted(ref, _scanned(inputs, params), store, request)
        entry = find_transform(ref, own_code=own_code)
        given = [scan(each).call if is_table_uri(each) else each for each in inputs]
        values = {**_by_position(entry, given, params), **params}
        return Wanted(ref, bind_entry(entry, values, store=store).wire(), store, request)


def _scanned(inputs: Sequence[Any], params: dict[str, Any]) -> Call:
    if len(inputs) != 1:
        raise ArgumentError(f"{SCAN} takes one table, not {len(inputs)}")
    if unknown := sorted(set(params) - {"columns", "where", "snapshot"}):
        raise ArgumentError(f"{SCAN} has no parameter {', '.join(unknown)}; it takes columns, where, snapshot")
    return scan(inputs[0], **params).call


def _as_asked(given: Any) -> Any:
    """An input as text; a call is known by what it makes, which only its own program can ask for again."""
    return given.id if isinstance(given, Asset) else given if isinstance(given, str) else None


def _by_position(entry: Entry, inputs: list[Any], params: dict[str, Any]) -> dict[str, Any]:
    """Inputs by the names of the parameters that take assets, in their order; a list takes all that are left."""
    places = [param for param in entry.params if takes_assets(param.kind)]
    values: dict[str, Any] = {}
    left = list(inputs)
    for param in places:
        if not left:
            break
        if param.name in params:
            raise ArgumentError(f"{entry.name}: {param.name} is given twice, among the inputs and in params")
        values[param.name] = left if takes_several(param.kind) else left[0]
        left = [] if takes_several(param.kind) else left[1:]
    if left:
        raise ArgumentError(f"{entry.name} takes {len(values)} inputs, but {len(inputs)} were given; {usage(entry)}")
    return values


def takes_several(kind: Kind) -> bool:
    """Whether a parameter takes a list of assets."""
    if isinstance(kind, Either):
        return any(map(takes_several, kind.kinds)) and not any(isinstance(each, AssetKind) for each in kind.kinds)
    return isinstance(kind, AssetList) or (isinstance(kind, Items) and any(map(takes_assets, kind.items)))


def takes_assets(kind: Kind) -> bool:
    """Whether a parameter takes an asset, or a list of them."""
    if isinstance(kind, Either):
        return any(map(takes_assets, kind.kinds))
    return isinstance(kind, (AssetKind, AssetList)) or (isinstance(kind, Items) and any(map(takes_assets, kind.items)))
