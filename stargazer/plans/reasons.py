"""Why a call is not known: compared with what the ledger has of its task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stargazer.assets import Asset
from stargazer.calls.call import Call
from stargazer.ledger import Ledger
from stargazer.ledger.keys import plain, readable
from stargazer.ledger.results import map_assets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.ledger import Record
    from stargazer.store import Store

__all__ = ["Reason", "calls_of", "reasons_for"]


@dataclass(frozen=True)
class Reason:
    """Why a call is not known.

    Parameters
    ----------
    kind
        ``"never ran"``, ``"code"``, ``"parameter"``, ``"input"``, ``"tool"`` or ``"lost"``.
    text
        In words: what changed, from what to what.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def calls_of(value: Any) -> list[Call]:
    """The call that `value` is, or those that a list or dict holds."""
    if isinstance(value, Call):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [call for item in items for call in calls_of(item)]


def reasons_for(call: Call, inputs: dict[str, Any], candidates: list[Record]) -> list[Reason]:
    """Compare with the newest record of the task that agrees in most."""
    if not candidates:
        return [Reason("never ran", "never ran")]
    compared = [_differences(call, inputs, record) for record in candidates]
    best = min(range(len(compared)), key=lambda place: _distance(compared[place]))
    return compared[best] or [_hidden_reason(call.store, candidates[best])]


def _hidden_reason(store: Store, record: Record) -> Reason:
    """Nothing differs that a record tells: its result is lost, or the same inputs stand in another order."""
    if Ledger(store).is_whole(record):
        return Reason("input", "inputs in another order")
    return Reason("lost", f"its result is no longer in the store (record {record.id[:12]})")


def _distance(reasons: list[Reason]) -> tuple[int, int]:
    return len({reason.kind for reason in reasons}), len(reasons)


def _differences(call: Call, inputs: dict[str, Any], record: Record) -> list[Reason]:
    return [
        *_code_differences(call, record),
        *_parameter_differences(call, record),
        *_tool_differences(call, record),
        *_input_differences(call.store, inputs, record),
    ]


def _code_differences(call: Call, record: Record) -> Iterator[Reason]:
    if call.order.code != record.code:
        then, now = record.manifest, call.order.manifest
        changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
        yield Reason("code", f"code changed: {', '.join(changed) or call.name}")


def _parameter_differences(call: Call, record: Record) -> Iterator[Reason]:
    for name, value in call.parameters.items():
        if isinstance(value, Call):
            yield Reason("input", f"parameter {name} comes from {value.name}, which runs first")
        elif name not in record.parameters:
            yield Reason("parameter", f"parameter {name} is new")
        elif record.parameters[name] != plain(value):
            yield Reason("parameter", f"parameter {name}: {_shown(record.parameters[name])} → {_shown(plain(value))}")


def _tool_differences(call: Call, record: Record) -> Iterator[Reason]:
    then = {tool["name"]: (tool["version"], tool["digest"]) for tool in record.tools}
    now = {tool.name: (tool.version, tool.digest) for tool in call.order.tools}
    then |= {name: (version, "") for name, version in record.libraries.items()}
    now |= {name: (version, "") for name, version in call.order.libraries.items()}
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            yield Reason("tool", f"tool {name}: {_version(then.get(name))} → {_version(now.get(name), then.get(name))}")


def _input_differences(store: Store, inputs: dict[str, Any], record: Record) -> Iterator[Reason]:
    for name, value in inputs.items():
        if calls := calls_of(value):
            makers = dict.fromkeys(maker.name for maker in calls)
            yield Reason("input", f"input {name} is made anew by {', '.join(makers)}")
        elif map_assets(value, lambda asset: asset.id) != record.inputs.get(name):
            yield Reason("input", f"input {name}: {_files(store, record.inputs.get(name))} → {_names(value)}")


def _files(store: Store, identifiers: Any) -> str:
    listed = (
        identifiers
        if isinstance(identifiers, list)
        else list(identifiers.values())
        if isinstance(identifiers, dict)
        else [identifiers]
    )
    known = store.read_assets([identifier for identifier in listed if identifier])
    return _names([known[identifier] for identifier in listed if identifier in known])


def _names(value: Any) -> str:
    if isinstance(value, Asset):
        return f"{value.name} ({(value.cid or '')[-6:]})"
    if isinstance(value, (list, dict)):
        items = list(value.values()) if isinstance(value, dict) else value
        return _names(items[0]) if len(items) == 1 else f"{len(items)} files"
    return "none"


def _version(now: tuple[str, str] | None, then: tuple[str, str] | None = None) -> str:
    if now is None:
        return "none"
    return f"{now[0]} (another build)" if then is not None and then[0] == now[0] else now[0]


def _shown(value: Any) -> str:
    text = repr(readable(value))
    return text if len(text) <= 40 else f"{text[:37]}…"
