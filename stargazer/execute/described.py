"""What a record says of a call before it ran, and whether another way led to the same."""

from __future__ import annotations

import datetime
import platform
from typing import TYPE_CHECKING, Any

from stargazer import config
from stargazer.ledger.keys import Kept, Naming, call_key, contents_of, input_keys, is_simple, plain
from stargazer.ledger.record import ids_of, walk_assets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stargazer.execute.spec import TaskSpec
    from stargazer.ledger import Ledger, Record
    from stargazer.store import Store

__all__ = ["cut_off", "described"]


def described(
    spec: TaskSpec, plan_key: str, inputs: Mapping[str, Any], parameters: Mapping[str, Any], store: Store
) -> dict[str, Any]:
    """Return the members of a record that are known before the call runs, both of its keys among them.

    Parameters
    ----------
    spec, plan_key
        Of the call.
    inputs, parameters
        Stored assets and plain values by name.
    store
        Takes the content of arrays and data frames among the parameters: keys only name them.
    """
    given = list(walk_assets(list(inputs.values())))
    values = {name: _written(value, spec, store) for name, value in parameters.items()}
    keys = {name: input_keys(value, spec.kinds) for name, value in inputs.items()}
    return {
        "task": spec.name,
        "plan_key": plan_key,
        "content_key": call_key(spec.key, values, keys),
        "code": spec.code,
        "manifest": dict(spec.manifest),
        "parameters": values,
        "inputs": {name: ids_of(value) for name, value in inputs.items()},
        "tools": [tool._asdict() for tool in spec.tools],
        "libraries": dict(spec.libraries),
        "env": dict(spec.env),
        "producers": {asset.id: asset.source.record for asset in given if asset.source and asset.source.record},
        "named": {asset.id: name for asset in given if (name := getattr(asset.source, "named", ""))},
        "input_cids": [*(asset.cid for asset in given if asset.cid), *_kept_contents(parameters, store)],
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "host": platform.node(),
        "python": platform.python_version(),
        "home": spec.home,
        "temp": spec.temp,
        "commit": spec.commit,
        "dirty": spec.dirty,
        "diff": spec.diff,
        "user": config.user_name(),
        "principal": spec.principal,
        "asked": _asked(spec),
        "image": config.image(),
    }


def _written(value: Any, spec: TaskSpec, store: Store) -> Any:
    """A parameter as keys and records have it; a named tuple that a call before this one gave was never kept."""
    if type(value) is Kept or is_simple(value):
        return plain(value)
    return plain(value, Naming(spec.task.module, store.context.profile))


def _asked(spec: TaskSpec) -> dict[str, float]:
    """What a call runs with, where that is more than any call: what it used can be compared with it."""
    given = {"cpus": spec.needs.cpus if spec.needs.cpus > 1 else 0, "memory": spec.needs.bytes or 0}
    return {name: amount for name, amount in given.items() if amount}


def _kept_contents(parameters: Mapping[str, Any], store: Store) -> list[str]:
    kept = (value.open() for value in parameters.values() if type(value) is Kept)
    return [store.blobs.put_bytes(data) for value in kept for data in contents_of(value)]


def cut_off(ledger: Ledger, spec: TaskSpec, known: Mapping[str, Any], before: Sequence[str]) -> Record | None:
    """Return the record of a call whose inputs came out as they were once before; its plan key leads there now.

    Parameters
    ----------
    ledger
        Where to look.
    spec
        Of the call.
    known
        From `described`.
    before
        Plan keys of the calls whose results it takes.
    """
    key, plan_key = known["content_key"], known["plan_key"]
    asked = (key != plan_key or spec.renewal) and not spec.again
    record = ledger.find_or_take([key], with_outputs=True).get(key) if asked else None
    if record is None:
        return None
    return ledger.point(record, plan_key, known["producers"], before=ledger.readers(before))
